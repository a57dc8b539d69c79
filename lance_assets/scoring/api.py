"""What a scorer is.

A scorer turns rows into one column, by default float32, 0..100, higher is better. It is plain Python: no Dagster, no
Ray, no Lance, so that the same object runs in a Ray task, in a Serve replica and in a unit test.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from lance_assets.scoring.item import Item
from lance_assets.scoring.outcome import ScoreFailure, State, Unusable, failure_of
from lance_assets.scoring.rows import Rows

__all__ = [
    "FIELDS",
    "PREFIX",
    "Allowance",
    "Item",
    "RowScorer",
    "Rows",
    "ScoreFailure",
    "Scorer",
    "ScorerConfig",
    "Served",
    "State",
    "Unusable",
]

FIELDS = ("image", "messages", "caption_missing", "width", "height", "format", "image_url", "image_sha256")
"""The table columns that a scorer may read; besides, the columns of other scorers (score_<name>)."""

PREFIX = "score_"
"""Of the columns of other scorers."""

Outcomes = Sequence[Any | ScoreFailure] | pa.Array
"""One value or failure per row, in order; as numpy or Arrow arrays where no row failed."""


class ScorerConfig(BaseModel):
    """Settings of one scorer. Whatever changes its scores belongs here; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    operational: ClassVar[frozenset[str]] = frozenset()
    """Settings that cannot change a score (limits, addresses, prices): they are not part of the hash."""

    def hashed(self) -> dict[str, Any]:
        """The settings that can change a score, as JSON values."""
        return self.model_dump(mode="json", exclude=set(self.operational))

    def config_hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the canonical JSON of `hashed`."""
        text = json.dumps(self.hashed(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Served(BaseModel):
    """How a scorer is served: replicas hold its model, loaded once and shared by all runs and batches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_replicas: int = Field(default=1, ge=1, description="replicas at most; none while nobody asks")
    cpus: float = Field(default=0.0, ge=0, description="cores that a replica reserves")
    gpus: float = Field(default=0.0, ge=0, description="GPUs, or a share of one, that a replica reserves")
    batch_rows: int = Field(
        default=64, ge=1, le=4096, description="rows that a replica scores at a time, of one or more calls"
    )


@dataclass(frozen=True)
class Allowance:
    """What a budget pays for: so many rows, beside those (by id) that were paid for already."""

    rows: int
    paid: frozenset[str] = frozenset()


class Scorer(ABC):
    """Base of every scorer: class attributes say what it is, `score` does it.

    `version` must move whenever the same input could get another score. `fields` are the table columns that it reads
    (out of FIELDS, or score_<name> of another scorer): they decide what makes a cell stale, so that a scorer of
    captions is not made stale by an image.
    """

    name: str
    version: str
    fields: tuple[str, ...]
    description: str
    unit: str = "0..100, higher is better"
    type: pa.DataType = pa.float32()
    """Of the values. Floats must be finite."""
    bounds: tuple[float, float] | None = (0.0, 100.0)
    """Smallest and largest value that it means to give, where these are numbers; the check `range` warns beyond them.
    None: any number will do."""
    served: Served | None = None
    """Not None: a model that is loaded once and shared (Ray Serve), not run inside the fused pass."""
    across: ClassVar[bool] = False
    """True: what a row gets depends on the other rows of the table, so it takes a pass of its own."""
    hints: tuple[str, ...] = ()
    """Those of `fields` that only say which rows to take first: a row may lack them, and no cell is stale by them."""
    remote: ClassVar[bool] = False
    """True: a service elsewhere does the work, as fast as its limits allow. Calls may overlap and take hours; they get
    all rows at a time, so it frees the pictures of a row itself."""
    Config: ClassVar[type[ScorerConfig]] = ScorerConfig

    def __init__(self, config: ScorerConfig | None = None) -> None:
        self.config = config if config is not None else self.Config()

        self.upstream: dict[str, str] = {}
        """What the score columns that it reads were made by: a cell is stale when that changes."""
        self.upstream_inputs: frozenset[str] = frozenset()
        """What those columns were made from."""

    def config_hash(self) -> str:
        own = self.config.config_hash()
        if not self.upstream:
            return own
        text = json.dumps([own, self.upstream], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The table columns that decide what its cells are: its own fields, and behind score columns theirs."""
        own = {name for name in self.fields if not name.startswith(PREFIX)}
        return tuple(sorted(own | self.upstream_inputs))

    def check(self, models: Path) -> None:
        """Called before any row is read. `models` is the folder of the platform's models. Raises BadInput where
        something that the scorer needs is missing: a model, a package, a key."""
        return None

    def load(self, models: Path) -> None:
        """Called once in each process that scores, before its first row: the place to load a model."""
        return None

    def allowance(self, models: Path) -> Allowance | None:
        """What its budget still pays for; None = there is none. Of the stale rows then only the most valuable ones are
        asked for, by the first of `hints`, highest first; the others stay as they are."""
        return None

    def spent(self, models: Path, since: datetime) -> dict[str, Any]:
        """What scoring did cost from then on, for people: plain values by name. Nothing where it costs time alone."""
        return {}

    @abstractmethod
    def score(self, items: Sequence[Item]) -> Outcomes:
        """One value or failure per row, in order. In a pass over the table `items` are Rows. When it raises, the batch
        is halved until the rows that it cannot stand are alone. It raises Unusable where no row is to blame."""


class RowScorer(Scorer):
    """A scorer that looks at one row at a time: only `score_one` is to be written."""

    @abstractmethod
    def score_one(self, item: Item) -> Any:
        """The value of one row. Raises ScoreFailure, or anything: the row fails alone."""

    def score(self, items: Sequence[Item]) -> list[Any | ScoreFailure]:
        return [self._outcome(item) for item in items]

    def _outcome(self, item: Item) -> Any | ScoreFailure:
        try:
            return self.score_one(item)
        except Exception as error:
            return failure_of(error)
