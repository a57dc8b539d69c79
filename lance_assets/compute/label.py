"""The labelling loop: what is stale in batches is scored, fragment by fragment, and published; one result per column.

Where fragments are scored is the caller's: in_process.py, or on_ray.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from lance_assets.compute.fragment import Tools
from lance_assets.errors import in_one_line
from lance_assets.scoring.api import Scorer, State
from lance_assets.scoring.registry import reads
from lance_assets.store.columns import column_of, scorer_of
from lance_assets.store.duplicates import TYPE, Pair
from lance_assets.store.files import DataRoot
from lance_assets.store.intents import Part
from lance_assets.store.labelling import Outcome, RunJobs, label_batch
from lance_assets.store.moved import made_now
from lance_assets.store.staleness import Identity, StaleCell
from lance_assets.store.table import exists, open_images

Report = Callable[[str], None]
#: Takes the stale cells of a batch, gives those to score now.
Narrow = Callable[[Sequence[StaleCell]], list[StaleCell]]
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


class UpstreamStale(RuntimeError):
    """A score column that a scorer reads was made by another version or config than the present one."""


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
    narrow: Narrow = list,
    due: datetime | None = None,
) -> Iterator[Labelled]:
    """Scores what is stale in the batches and yields one result per (batch, scorer) after its commit.

    What fails is yielded with `failure` set and stops nothing else: a failing batch, column or fragment costs only
    itself, and stays stale. `tools` says how served scorers are reached and where models lie, `runner` where fragments
    are scored (None = in Ray tasks), `narrow` which of the stale cells are taken, `due` the time at which transient
    failures that wait until later are left alone (None = none waits).
    """
    if runner is None:
        from lance_assets.compute.on_ray import on_ray as runner
    tasks = runner(root, scorers, tools or Tools())

    def pass_over(batch: str) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for level in levels(scorers):
            behind = {one.name: error for one in level if (error := upstream_error(root, batch, one))}
            outcomes += [Outcome(column_of(name), error=error) for name, error in behind.items()]
            identities = [identity_of(one) for one in level if one.name not in behind]
            if identities:
                outcomes += label_batch(
                    root, batch, identities, run_id, tasks, not_broken, force, narrow=narrow, due=due
                )
        return outcomes

    return each_batch(batches, list(scorers), pass_over, report)


def levels(scorers: Mapping[str, Scorer]) -> Iterator[list[Scorer]]:
    """Scorers that share a pass; those that read columns of others come after these were published."""
    left = dict(scorers)
    while left:
        ready = [name for name, scorer in left.items() if not set(reads(scorer)) & left.keys()]
        yield [left.pop(name) for name in ready or list(left)]


def upstream_error(root: DataRoot, batch: str, scorer: Scorer) -> UpstreamStale | None:
    """Why a scorer cannot work on a batch: its cells would claim to be made from what a column that it reads does not
    hold any more, or not yet."""
    if not scorer.upstream or not exists(root):
        return None
    dataset = open_images(root)
    for name, made in scorer.upstream.items():
        if made_now(root, dataset, batch, column_of(name)) - {made}:
            return UpstreamStale(f"{scorer.name} reads {column_of(name)}, which is stale in {batch}: label it first")
    return None


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
