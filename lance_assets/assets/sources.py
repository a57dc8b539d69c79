"""The source of a batch, opened."""

from __future__ import annotations

from lance_assets.errors import BadInput
from lance_assets.settings import Platform
from lance_assets.sources.base import Source
from lance_assets.sources.open import open_source


def source_of(platform: Platform, id: str) -> Source:
    """The source that a batch key names. Raises BadInput when platform.yaml has it no longer."""
    for entry in platform.config().sources:
        if entry.id == id:
            return open_source(**platform.source_arguments(entry))
    raise BadInput(f"{platform.home.platform_yaml} has no source {id!r}, but there are batches of it")
