"""What a scorer is, and the one pass that runs many of them over the same rows.

A scorer turns rows into one float32 column, 0..100, higher is better. It is plain Python: no Dagster, no Ray, no Lance,
so that the same object runs in a Ray task, in a Serve replica and in a unit test.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lance_assets.scoring.item import Item, ScoreFailure, State, describe

__all__ = ["FIELDS", "Item", "RowScorer", "ScoreFailure", "Scored", "Scorer", "ScorerConfig", "State", "score_items"]

FIELDS = ("image", "messages", "caption_missing", "width", "height")
"""The table columns that a scorer may read."""


class ScorerConfig(BaseModel):
    """Settings of one scorer. Whatever changes its scores belongs here; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def config_hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Scorer(ABC):
    """Base of every scorer: class attributes say what it is, `score` does it.

    `version` must move whenever the same input could get another score. `fields` are the table columns that it reads
    (out of FIELDS): they decide the input digest, so that a scorer of captions is not made stale by an image.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    fields: ClassVar[tuple[str, ...]]
    description: ClassVar[str]
    unit: ClassVar[str] = "0..100, higher is better"
    served: ClassVar[bool] = False
    """True: a model that is loaded once and shared (Ray Serve), not run inside the fused pass."""
    across: ClassVar[bool] = False
    """True: what a row gets depends on the other rows of the table, so it takes a pass of its own."""
    Config: ClassVar[type[ScorerConfig]] = ScorerConfig

    def __init__(self, config: ScorerConfig | None = None) -> None:
        self.config = config if config is not None else self.Config()

    def config_hash(self) -> str:
        return self.config.config_hash()

    @abstractmethod
    def score(self, items: Sequence[Item]) -> Sequence[float | ScoreFailure]:
        """One value or failure per item, in order. When it raises, the batch is scored again row by row."""


class RowScorer(Scorer):
    """A scorer that looks at one row at a time: only `score_one` is to be written."""

    @abstractmethod
    def score_one(self, item: Item) -> float:
        """The value of one row. Raises ScoreFailure, or anything: the row fails alone."""

    def score(self, items: Sequence[Item]) -> list[float | ScoreFailure]:
        return [self._outcome(item) for item in items]

    def _outcome(self, item: Item) -> float | ScoreFailure:
        try:
            return self.score_one(item)
        except Exception as error:
            return failure_of(error)


class Scored(NamedTuple):
    """One column of a batch: float32 values (NaN where not OK), uint8 states, messages (None where OK)."""

    values: NDArray[np.float32]
    states: NDArray[np.uint8]
    messages: list[str | None]


def score_items(scorers: Mapping[str, Scorer], items: Sequence[Item]) -> dict[str, Scored]:
    """The fused pass: every scorer over the same items, each image decoded once. Never raises for a row or a scorer.

    The decoded pictures of all items are in memory at once: pass small batches (64 of 1024 px are about 500 MB with
    their luma).
    """
    return {name: _column(scorer, items) for name, scorer in scorers.items()}


def failure_of(error: Exception) -> ScoreFailure:
    """Out of memory, time or connection can pass; any other exception is a fact about this row and this version."""
    if isinstance(error, ScoreFailure):
        return error
    transient = isinstance(error, MemoryError | TimeoutError | ConnectionError)
    return ScoreFailure(State.FAILED_TRANSIENT if transient else State.FAILED_PERMANENT, describe(error))


def _column(scorer: Scorer, items: Sequence[Item]) -> Scored:
    values = np.full(len(items), np.nan, dtype=np.float32)
    states = np.zeros(len(items), dtype=np.uint8)
    messages: list[str | None] = [None] * len(items)
    for at, outcome in enumerate(_outcomes(scorer, items)):
        checked = outcome if isinstance(outcome, ScoreFailure) else _number(scorer, outcome)
        if isinstance(checked, ScoreFailure):
            states[at], messages[at] = checked.state, str(checked)
        else:
            values[at] = checked
    return Scored(values, states, messages)


def _outcomes(scorer: Scorer, items: Sequence[Item]) -> Sequence[float | ScoreFailure]:
    """The batch at once; when that fails, row by row, so that one poisonous row costs only itself."""
    if not items:
        return []
    try:
        outcomes = scorer.score(items)
        if len(outcomes) != len(items):
            raise ValueError(f"the scorer {scorer.name} gave {len(outcomes)} values for {len(items)} rows")
        return outcomes
    except Exception as error:
        if len(items) == 1:
            return [failure_of(error)]
        return [_outcomes(scorer, [item])[0] for item in items]


def _number(scorer: Scorer, value: float) -> float | ScoreFailure:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if np.isfinite(number):
        return number
    return ScoreFailure(State.FAILED_PERMANENT, f"the scorer {scorer.name} gave {value!r}, not a finite number")
