"""How rows are compared with each other now, for the split and for duplicates. Imports no Ray."""

from __future__ import annotations

from collections.abc import Mapping

from lance_assets.errors import BadInput
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.duplicate import Duplicate
from lance_assets.settings import Platform
from lance_assets.store.selection import Groups


def content_groups(platform: Platform, scorers: Mapping[str, Scorer]) -> Groups | None:
    """None where nobody compares rows. Raises BadInput where duplicates should be dropped then."""
    scorer, drop = scorers.get(Duplicate.name), platform.config().duplicates.policy == "drop"
    if isinstance(scorer, Duplicate):
        return Groups(scorer.by, drop)
    if drop:
        raise BadInput("duplicates.policy is drop, and platform.yaml leaves the scorer duplicate out of its scorers")
    return None
