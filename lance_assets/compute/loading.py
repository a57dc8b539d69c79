"""Scorers with their models, which a process loads once for all fragments and requests."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from lance_assets.scoring.api import Scorer


def loaded(scorer: Scorer, models: Path) -> Scorer:
    """The scorer with its model, which this process loads once for all fragments."""
    return _kept(_Key(scorer), models)


class _Key:
    """Scorers that are equal for a process: of one class (whose code is part of it), version, config and upstream."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self._what = (type(scorer), scorer.name, scorer.version, scorer.config, scorer.upstream, scorer.inputs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._what == other._what

    def __hash__(self) -> int:
        return hash(self._what[:3])


@lru_cache(maxsize=32)
def _kept(key: _Key, models: Path) -> Scorer:
    key.scorer.load(models)
    return key.scorer
