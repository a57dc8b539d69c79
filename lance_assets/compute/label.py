"""The labelling loop on Ray: the fragments of a batch are scored as tasks, the store plans, announces and publishes.

What travels back from the tasks are file names, counts and states; images never do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from lance_assets.compute.fragment import Fragment, Tools, score_fragment
from lance_assets.compute.isolation import ended_the_process, score_isolated
from lance_assets.errors import in_one_line
from lance_assets.scoring.api import Scorer, State
from lance_assets.scoring.known import PREFIX
from lance_assets.store.columns import column_of, scorer_of, state_of
from lance_assets.store.duplicates import TYPE, Pair
from lance_assets.store.files import DataRoot
from lance_assets.store.intents import Part
from lance_assets.store.labelling import Job, Outcome, RunJobs, label_batch
from lance_assets.store.staleness import Identity
from lance_assets.store.table import batch_fragments, open_images

Report = Callable[[str], None]


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
    # what other scorers gave enters by their identity, which is part of the hash
    fields = tuple(name for name in scorer.fields if not name.startswith(PREFIX))
    return Identity(column_of(scorer.name), scorer.name, scorer.version, scorer.config_hash(), fields, type)


def label(
    root: DataRoot,
    batches: Sequence[str],
    scorers: Mapping[str, Scorer],
    run_id: str,
    report: Report,
    tools: Tools | None = None,
    force: bool = False,
) -> Iterator[Labelled]:
    """Scores what is stale in the batches and yields one result per (batch, scorer) after its commit.

    What fails is yielded with `failure` set and stops nothing else: a failing batch, column or fragment costs only
    itself, and stays stale. `tools` says how served scorers are reached and where models lie.
    """
    identities = [identity_of(scorer) for scorer in scorers.values()]
    tasks = on_ray(root, scorers, tools or Tools())

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


def on_ray(root: DataRoot, scorers: Mapping[str, Scorer], tools: Tools) -> RunJobs:
    """One Ray task per stale fragment, all columns that are stale there in one pass; results as they come. A failing
    fragment, or a scorer that fails as a whole, never throws the others away.

    A fragment on which the process of the task ends (a decoder that crashes, no memory) is scored once more, each piece
    in a process apart, until the row that does it is alone.
    """

    def run(version: int, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Part] | Exception]]:
        tasks = {_score_fragment.remote(root, version, job, wanted(job), tools): job for job in jobs}
        careful: set[ray.ObjectRef] = set()
        waiting = list(tasks)
        while waiting:
            [task], waiting = ray.wait(waiting, num_returns=1)
            job = tasks[task]
            try:
                yield from _by_column(job, ray.get(task))
            except Exception as error:  # raised again per column, after the good fragments are published
                if ended_the_process(error) and task not in careful:
                    again = _score_carefully.remote(root, version, job, wanted(job), tools)
                    tasks[again] = job
                    careful.add(again)
                    waiting.append(again)
                else:
                    yield job, error

    def wanted(job: Job) -> dict[str, Scorer]:
        return {scorer_of(column): scorers[scorer_of(column)] for column in job.columns}

    return run


def _score_apart(
    root: DataRoot, version: int, job: Job, scorers: Mapping[str, Scorer], tools: Tools
) -> Fragment:
    return score_fragment(root, version, job, scorers, replace(tools, call=score_isolated))


_score_fragment = ray.remote(num_cpus=1, max_retries=2)(score_fragment)
_score_carefully = ray.remote(num_cpus=1, max_retries=2)(_score_apart)


def _by_column(job: Job, done: Fragment) -> Iterator[tuple[Job, list[Part] | Exception]]:
    yield job, done.parts
    for name, error in done.errors.items():
        column = column_of(name)
        yield replace(job, columns={column: job.columns[column]}), error


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
