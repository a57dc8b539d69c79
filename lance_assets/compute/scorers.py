"""The scorers that platform.yaml asks for, with what they learnt. Imports no Ray, so that an audit answers at once."""

from __future__ import annotations

import json

from lance_assets.scoring.alignment import Alignment
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.duplicate import Duplicate
from lance_assets.scoring.registry import Entry, configured
from lance_assets.settings import Platform


def platform_scorers(platform: Platform) -> dict[str, Scorer]:
    """The scorers by name, with the alignment model fitted last and the radius of the duplicates. Raises BadInput."""
    config = platform.config()
    chosen = config.scorers
    entries = None if chosen is None else [Entry(**entry.model_dump()) for entry in chosen]
    fitted = platform.home.models / "alignment" / "current.json"
    digest = {"model_digest": json.loads(fitted.read_text())["model_digest"]} if fitted.exists() else {}
    defaults = {Alignment.name: digest, Duplicate.name: {"radius": config.duplicates.radius}}
    return configured(entries, platform.home.root, defaults)
