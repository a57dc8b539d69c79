"""What platform.yaml allows labels to move, and which columns wait for somebody's word about that."""

from __future__ import annotations

from collections.abc import Sequence

import lance

from lance_assets.settings import Platform
from lance_assets.store.columns import column_of
from lance_assets.store.comparison import named_in
from lance_assets.store.files import DataRoot
from lance_assets.store.moved import Limits
from lance_assets.store.trials import HeldBack, require_accepted


def drift_limits(platform: Platform) -> Limits:
    """How far labels may move when another version of a scorer replaces them, as platform.yaml says."""
    config = platform.config()
    return Limits(filter=config.sft.filter, **config.checks.drift.model_dump())


def held_back(platform: Platform, dataset: lance.LanceDataset, scorers: Sequence[str]) -> str:
    """Why no training set may be pinned at a version of the table, the first reason; empty where nothing is held
    back."""
    used = named_in(platform.config().sft.filter, [column_of(name) for name in scorers])
    try:
        require_accepted(DataRoot(platform.home.data), dataset, used, drift_limits(platform), count=False)
    except HeldBack as error:
        return str(error)
    return ""
