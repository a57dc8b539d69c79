"""The fused pass: many scorers over the same rows, each picture decoded once, each row failing alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lance_assets.scoring.api import PREFIX, Outcomes, RowScorer, Scorer
from lance_assets.scoring.item import Item
from lance_assets.scoring.outcome import ScoreFailure, State, Unusable, failure_of
from lance_assets.scoring.rows import Rows
from lance_assets.scoring.values import given, listed, typed_values

#: Pixels of pictures that may be decoded at a time: 3 bytes each as RGB, 4 more as luma.
PIXELS = 16_000_000
#: What a row without a known size counts as.
UNKNOWN_PIXELS = 1_000_000


@dataclass(frozen=True)
class Scored:
    """One column of some rows: values of the scorer's type (NULL where not OK), uint8 states, and why rows failed, by
    their position."""

    values: pa.Array
    states: NDArray[np.uint8]
    messages: Mapping[int, str] = field(default_factory=dict)


def score_items(scorers: Mapping[str, Scorer], items: Sequence[Item]) -> dict[str, Scored]:
    """Every scorer over the same rows. Raises for no row, and for a scorer only what says that it is Unusable.

    Rows of a table are taken so many at a time that their pictures fit into PIXELS, whatever the size of the batch.
    Where all scorers look at one row at a time, each picture is freed before the next is decoded into its memory:
    memory that is new to the processor costs half as much as decoding.
    """
    parts: dict[str, list[Scored]] = {name: [] for name in scorers}
    whole = all(scorer.remote for scorer in scorers.values())
    row_wise = all(_row_wise(scorer) for scorer in scorers.values())
    for some in [items] if whole else _portions(items):
        outcomes = _row_after_row(scorers, some) if row_wise else {}
        for name, scorer in scorers.items():
            parts[name].append(_column(scorer, some, outcomes.get(name)))
        if isinstance(some, Rows):
            some.forget_pictures()
    return {name: joined(scorers[name], columns) for name, columns in parts.items()}


def _row_wise(scorer: Scorer) -> bool:
    """Whether it can be asked about one row after the other."""
    plain = isinstance(scorer, RowScorer) and type(scorer).score is RowScorer.score
    return plain and not any(name.startswith(PREFIX) for name in scorer.fields)


def _row_after_row(scorers: Mapping[str, Scorer], items: Sequence[Item]) -> dict[str, list[Any | ScoreFailure]]:
    """Outcomes by the name of the scorer."""
    found: dict[str, list[Any | ScoreFailure]] = {name: [] for name in scorers}
    for item in items:
        for name, scorer in scorers.items():
            found[name] += scorer.score([item])
        item.forget_pictures()
    return found


def _portions(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    if not isinstance(items, Rows) or "image" not in items.table.column_names:
        yield items
        return
    total = np.cumsum(_pixels(items.table))
    start, before = 0, 0
    while start < len(items):
        end = max(start + 1, int(np.searchsorted(total, before + PIXELS, side="right")))
        yield items if end - start == len(items) else items[start:end]
        start, before = end, total[end - 1]


def _pixels(table: pa.Table) -> NDArray[np.int64]:
    if not {"width", "height"} <= {*table.column_names}:
        return np.full(table.num_rows, UNKNOWN_PIXELS)
    width, height = (
        (sides.fill_null(1000) if sides.null_count else sides).to_numpy().astype(np.int64)
        for sides in (table["width"], table["height"])
    )
    return width * height


def joined(scorer: Scorer, parts: Sequence[Scored]) -> Scored:
    """Parts of a column, one after the other."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Scored(pa.nulls(0, scorer.type), np.zeros(0, np.uint8))
    starts = np.cumsum([0, *(len(part.states) for part in parts)]).tolist()
    return Scored(
        pa.concat_arrays([part.values for part in parts]),
        np.concatenate([part.states for part in parts]),
        {start + at: why for start, part in zip(starts, parts, strict=False) for at, why in part.messages.items()},
    )


def _column(scorer: Scorer, items: Sequence[Item], outcomes: Outcomes | None = None) -> Scored:
    """`outcomes` where the scorer has been asked."""
    if outcomes is None:
        outcomes = _lacking(scorer, items)
    if outcomes is None:
        outcomes = _outcomes(scorer, items)
    failures = {} if isinstance(outcomes, pa.Array | np.ndarray) else _failures(outcomes)
    values = typed_values(scorer.name, scorer.type, outcomes, failures)
    states = np.zeros(len(items), dtype=np.uint8)
    for at, failure in failures.items():
        states[at] = failure.state
    return Scored(values, states, {at: str(failure) for at, failure in failures.items()})


def _lacking(scorer: Scorer, items: Sequence[Item]) -> Outcomes | None:
    """Outcomes where a row has no value yet in another score column that the scorer reads; it is not asked for that
    row. None where no row lacks one."""
    read = [name for name in scorer.fields if name.startswith(PREFIX) and name not in scorer.hints]
    if not read:
        return None
    if isinstance(items, Rows):
        missing = items.without(read)
    else:
        missing = {at: name for at, item in enumerate(items) for name in read if item.others.get(name) is None}
    if not missing:
        return None
    there = [at for at in range(len(items)) if at not in missing]
    asked = items.take(there) if isinstance(items, Rows) else [items[at] for at in there]
    outcomes = iter(listed(_outcomes(scorer, asked)))
    failures = {at: ScoreFailure(State.FAILED_TRANSIENT, f"{name} has no value yet") for at, name in missing.items()}
    return [failures[at] if at in failures else next(outcomes) for at in range(len(items))]


def _failures(outcomes: Outcomes) -> dict[int, ScoreFailure]:
    return {at: outcome for at, outcome in enumerate(outcomes) if isinstance(outcome, ScoreFailure)}


def _outcomes(scorer: Scorer, items: Sequence[Item]) -> Outcomes:
    """The rows at once; when that fails, in halves, so that a poisonous row costs only itself. What may pass (no
    connection, no time, the scorer's word) is not asked again for each row of the batch."""
    if not len(items):
        return []
    try:
        outcomes = given(scorer.score(items))
        if len(outcomes) != len(items):
            raise ValueError(f"the scorer {scorer.name} gave {len(outcomes)} values for {len(items)} rows")
        return outcomes
    except Unusable:
        raise
    except Exception as error:
        passing = isinstance(error, TimeoutError | ConnectionError)
        if isinstance(error, ScoreFailure):
            passing = error.state == State.FAILED_TRANSIENT
        if passing or len(items) == 1:
            return [failure_of(error)] * len(items)
        half = len(items) // 2
        return [*listed(_outcomes(scorer, items[:half])), *listed(_outcomes(scorer, items[half:]))]
