"""The labelling loop: what is stale in batches is scored, fragment by fragment, and published; one result per column.

Where fragments are scored is the caller's: in_process.py, or on_ray.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lance_assets.compute.fragment import Tools
from lance_assets.errors import in_one_line
from lance_assets.scoring.api import Scorer, State
from lance_assets.store.columns import column_of, scorer_of
from lance_assets.store.duplicates import TYPE, Pair
from lance_assets.store.files import DataRoot
from lance_assets.store.intents import Part
from lance_assets.store.labelling import Outcome, RunJobs, label_batch
from lance_assets.store.staleness import Identity

Report = Callable[[str], None]
#: Makes what scores the fragments of a batch.
Runner = Callable[[DataRoot, Mapping[str, Scorer], Tools], RunJobs]


@dataclass
class Labelled:
    """What became of one column of one batch. `calls` = rows scored now, `planned` = rows that were stale (the rest had
    been scored by a run that was killed); `states` = counts of the rows scored now; `pairs` = duplicates among them."""

    batch: str
    scorer: str
    calls: int
    reasons: list[str]
    planned: int = 0
    states: dict[str, int] = field(default_factory=dict)
    message: str | None = None
    seconds: float = 0.0
    version: int = 0
    failure: str | None = None
    pairs: list[Pair] = field(default_factory=list)


class ScorerBroken(RuntimeError):
    """Every row of a batch failed for good: that is a fault of the scorer, not of the rows, and is not published."""


def identity_of(scorer: Scorer) -> Identity:
    """What the column of this scorer claims to be now."""
    type = TYPE if scorer.across else scorer.type
    return Identity(column_of(scorer.name), scorer.name, scorer.version, scorer.config_hash(), scorer.inputs, type)


def label(
    root: DataRoot,
    batches: Sequence[str],
    scorers: Mapping[str, Scorer],
    run_id: str,
    report: Report,
    tools: Tools | None = None,
    force: bool = False,
    runner: Runner | None = None,
) -> Iterator[Labelled]:
    """Scores what is stale in the batches and yields one result per (batch, scorer) after its commit.

    What fails is yielded with `failure` set and stops nothing else: a failing batch, column or fragment costs only
    itself, and stays stale. `tools` says how served scorers are reached and where models lie, `runner` where fragments
    are scored (None = in Ray tasks).
    """
    if runner is None:
        from lance_assets.compute.on_ray import on_ray as runner
    identities = [identity_of(scorer) for scorer in scorers.values()]
    tasks = runner(root, scorers, tools or Tools())

    def pass_over(batch: str) -> list[Outcome]:
        return label_batch(root, batch, identities, run_id, tasks, not_broken, force)

    return each_batch(batches, list(scorers), pass_over, report)


def each_batch(
    batches: Sequence[str], scorers: Sequence[str], pass_over: Callable[[str], list[Outcome]], report: Report
) -> Iterator[Labelled]:
    """One pass after another, and one result per (batch, scorer). A batch that cannot be planned fails alone."""
    for batch in batches:
        started = time.monotonic()
        try:
            outcomes = pass_over(batch)
        except Exception as error:  # planning failed; the caller raises at the end and names every batch that failed
            report(f"{batch}: {_said(error)}")
            for name in scorers:
                yield Labelled(batch, name, 0, [], failure=_said(error))
            continue
        for outcome in outcomes:
            done = _labelled(batch, outcome, time.monotonic() - started)
            report(_told(done))
            yield done


def not_broken(column: str, parts: Sequence[Part]) -> None:
    """Raises ScorerBroken."""
    totals = np.sum([part.states for part in parts], axis=0) if parts else np.zeros(len(State), int)
    rows = int(totals.sum())
    if rows > 1 and totals[State.FAILED_PERMANENT] == rows:
        message = next((part.message for part in parts if part.message), None)
        raise ScorerBroken(f"{scorer_of(column)} failed on each of {rows} rows: {message}")


def _labelled(batch: str, outcome: Outcome, seconds: float) -> Labelled:
    totals = np.sum([part.states for part in outcome.parts], axis=0) if outcome.parts else None
    return Labelled(
        batch=batch,
        scorer=scorer_of(outcome.column),
        calls=outcome.calls,
        planned=sum(cell.rows for cell in outcome.stale),
        reasons=sorted({cell.reason for cell in outcome.stale}),
        states={} if totals is None else {state.name.lower(): int(totals[state]) for state in State},
        message=next((part.message for part in outcome.parts if part.message), None),
        seconds=seconds,
        version=outcome.version,
        failure=_said(outcome.error) if outcome.error else None,
    )


def _told(result: Labelled) -> str:
    if result.failure:
        return f"{result.batch}: {result.scorer} failed: {result.failure}"
    found = result.planned - result.calls
    again = f", {found} rows of a run that was killed taken over" if found else ""
    if not result.calls:
        return f"{result.batch}: {result.scorer} is up to date{again}"
    failed = sum(count for state, count in result.states.items() if state != "ok")
    without = f", {failed} without a score ({result.message})" if failed else ""
    rate = result.calls / max(result.seconds, 1e-9)
    return f"{result.batch}: {result.scorer} scored {result.calls} rows, {rate:.0f} rows/s{without}{again}"


def _said(error: Exception) -> str:
    return in_one_line(f"{type(error).__name__}: {error}")
