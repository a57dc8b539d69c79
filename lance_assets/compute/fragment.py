"""One fragment, scored inside a Ray task: read once, each image decoded once, one staged file per scorer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import lance
import numpy as np
import pyarrow as pa

from lance_assets.compute.reading import shares, stale_rows
from lance_assets.ingest.conversation import caption_of
from lance_assets.scoring.api import Rows, Scorer, State
from lance_assets.scoring.passes import Scored, score_items
from lance_assets.store import ledger
from lance_assets.store.cells import Cells
from lance_assets.store.columns import column_of, scorer_of
from lance_assets.store.failures import failures_table
from lance_assets.store.files import DataRoot
from lance_assets.store.intents import Part
from lance_assets.store.labelling import Job
from lance_assets.store.staging import stage
from lance_assets.store.staleness import input_digest
from lance_assets.store.table import open_images

#: Requests to one served scorer that are on their way while the next rows are read.
IN_FLIGHT = 4


class Pending(Protocol):
    """Scores that are being made elsewhere. Raises what made them impossible."""

    def result(self) -> Scored: ...


#: Asks a served scorer for a table of rows and does not wait.
Ask = Callable[[pa.Table], Pending]
#: Scores rows by the named scorers, here and now.
ScoreCall = Callable[[Mapping[str, Scorer], pa.Table], dict[str, Scored]]


@dataclass(frozen=True)
class Tools:
    """How scorers are reached: `served` ones by name, the others by `call`. `models` is the folder of models."""

    models: Path = Path()
    served: Mapping[str, Ask] = field(default_factory=dict)
    call: ScoreCall | None = None


@dataclass
class Fragment:
    """What became of the columns of a fragment: staged, or why a scorer cannot work at all."""

    parts: list[Part] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)


def wanted(job: Job, scorers: Mapping[str, Scorer]) -> dict[str, Scorer]:
    """The scorers whose columns a job asks for."""
    return {scorer_of(column): scorers[scorer_of(column)] for column in job.columns}


def by_column(job: Job, done: Fragment) -> Iterator[tuple[Job, list[Part] | Exception]]:
    """What a fragment became, as RunJobs yields it."""
    yield job, done.parts
    for name, error in done.errors.items():
        column = column_of(name)
        yield replace(job, columns={column: job.columns[column]}), error


def score_locally(scorers: Mapping[str, Scorer], rows: pa.Table) -> dict[str, Scored]:
    """The fused pass in this process."""
    return score_items(scorers, rows_of(rows))


def rows_of(table: pa.Table) -> Rows:
    """Rows of the table as scorers see them."""
    return Rows(table, caption_of)


def score_fragment(root: DataRoot, version: int, job: Job, scorers: Mapping[str, Scorer], tools: Tools) -> Fragment:
    """Scores the stale rows of one fragment at one pinned version and stages one file per scorer. Memory is that of
    some chunks of rows, whatever the size of the fragment."""
    started = ledger.now()
    dataset, done = open_images(root, version), Fragment()
    ready = _loaded(scorers, tools, done)
    offsets = {name: job.columns[column_of(name)] for name in ready}
    columns = {name: _Column() for name in ready}
    call = tools.call or score_locally
    for chunk in stale_rows(dataset, job.fragment, ready, offsets) if ready else ():
        for names, mine in shares(chunk, offsets):
            lean = mine.drop_columns([name for name in ("image",) if name in mine.column_names])
            for name in names:
                columns[name].rows.append(lean)
                if name in tools.served:
                    columns[name].ask(tools.served[name], _read_by(ready[name], mine))
            here = {name: ready[name] for name in names if name not in tools.served}
            for name, scored in call(here, mine).items() if here else ():
                columns[name].scored.append(scored)
    for name, column in columns.items():
        try:
            column.finish()
            done.parts.append(_part(root, dataset, job.fragment, ready[name], offsets[name], column, started))
        except Exception as error:  # a served scorer that is gone costs its own column
            done.errors[name] = error
    return done


@dataclass
class _Column:
    """One column while it grows: rows without their images, scores in the same order, requests on their way."""

    rows: list[pa.Table] = field(default_factory=list)
    scored: list[Scored] = field(default_factory=list)
    waiting: deque[Pending] = field(default_factory=deque)
    error: Exception | None = None

    def ask(self, ask: Ask, rows: pa.Table) -> None:
        """After an error nothing more is asked: the column is lost, and `finish` raises it."""
        if self.error is not None:
            return
        try:
            while len(self.waiting) >= IN_FLIGHT:
                self.scored.append(self.waiting.popleft().result())
            self.waiting.append(ask(rows))
        except Exception as error:
            self.error = error

    def finish(self) -> None:
        if self.error is not None:
            raise self.error
        while self.waiting:
            self.scored.append(self.waiting.popleft().result())


def _loaded(scorers: Mapping[str, Scorer], tools: Tools, done: Fragment) -> dict[str, Scorer]:
    """The scorers that can work, with their models; served ones have theirs elsewhere."""
    ready: dict[str, Scorer] = {}
    for name, scorer in scorers.items():
        try:
            ready[name] = scorer if name in tools.served else loaded(scorer, tools.models)
        except Exception as error:  # it costs its own column
            done.errors[name] = error
    return ready


def loaded(scorer: Scorer, models: Path) -> Scorer:
    """The scorer with its model, which this process loads once for all fragments."""
    return _kept(_Key(scorer), models)


class _Key:
    """Scorers that are equal for a process: of one class (whose code is part of it), version and config."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self._what = (type(scorer), scorer.name, scorer.version, scorer.config)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self._what == other._what

    def __hash__(self) -> int:
        return hash(self._what[:3])


@lru_cache(maxsize=32)
def _kept(key: _Key, models: Path) -> Scorer:
    key.scorer.load(models)
    return key.scorer


def _read_by(scorer: Scorer, rows: pa.Table) -> pa.Table:
    """What travels to a served scorer."""
    return rows.select([name for name in rows.column_names if name == "id" or name in scorer.fields])


def _part(
    root: DataRoot,
    dataset: lance.LanceDataset,
    number: int,
    scorer: Scorer,
    offsets: np.ndarray | None,
    column: _Column,
    started: datetime,
) -> Part:
    states = np.concatenate([scored.states for scored in column.scored])
    values = pa.concat_arrays([scored.values for scored in column.scored])
    rows = pa.concat_tables(column.rows)
    starts = np.cumsum([0, *(len(scored.states) for scored in column.scored)]).tolist()
    messages = {
        start + at: why
        for start, scored in zip(starts, column.scored, strict=False)
        for at, why in scored.messages.items()
    }
    return Part(
        staged=stage(root, dataset, number, column_of(scorer.name), Cells.of(values, states), offsets),
        digest=input_digest(rows, scorer.inputs),
        states=tuple(int(count) for count in np.bincount(states, minlength=len(State))),
        failures=failures_table(rows["id"], states, messages),
        started=started,
    )
