"""The labelling loop on Ray: the fragments of a batch are scored as tasks, the store plans, announces and publishes.

What travels back from the tasks are file names, counts and states; images never do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from lance_assets.compute.fragment import ScoreCall, score_fragment, score_locally
from lance_assets.errors import in_one_line
from lance_assets.scoring.api import Scorer, State
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


_score_fragment = ray.remote(num_cpus=1, max_retries=2)(score_fragment)


def identity_of(scorer: Scorer) -> Identity:
    """What the column of this scorer claims to be now."""
    type = TYPE if scorer.across else pa.float32()
    return Identity(
        column_of(scorer.name), scorer.name, scorer.version, scorer.config_hash(), tuple(scorer.fields), type
    )


def label(
    root: DataRoot,
    batches: Sequence[str],
    scorers: Mapping[str, Scorer],
    run_id: str,
    report: Report,
    call: ScoreCall = score_locally,
    force: bool = False,
) -> Iterator[Labelled]:
    """Scores what is stale in the batches and yields one result per (batch, scorer) after its commit.

    What fails is yielded with `failure` set and stops nothing else: a failing batch, column or fragment costs only
    itself, and stays stale.
    """
    identities = [identity_of(scorer) for scorer in scorers.values()]
    tasks = on_ray(root, scorers, call)

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


def on_ray(root: DataRoot, scorers: Mapping[str, Scorer], call: ScoreCall) -> RunJobs:
    """One Ray task per stale fragment, all columns that are stale there in one pass; results as they come. A failing
    fragment never throws the others away."""

    def run(version: int, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Part] | Exception]]:
        tasks = {_score_fragment.remote(root, version, job, _wanted(job), call): job for job in jobs}
        waiting = list(tasks)
        while waiting:
            [task], waiting = ray.wait(waiting, num_returns=1)
            try:
                result: list[Part] | Exception = ray.get(task)
            except Exception as error:  # raised again per column, after the good fragments are published
                result = error
            yield tasks[task], result

    def _wanted(job: Job) -> dict[str, Scorer]:
        return {scorer_of(column): scorers[scorer_of(column)] for column in job.columns}

    return run


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


def batch_values(root: DataRoot, batch: str, scorer: str) -> dict[str, Any]:
    """Values (float32, NaN where not ok) and states of one column of one batch as stored now, for what people see."""
    dataset = open_images(root)
    column = column_of(scorer)
    fragments = [dataset.get_fragment(number) for number in batch_fragments(dataset, batch)]
    if not fragments:
        return {"values": np.array([], np.float32), "states": np.array([], np.uint8)}
    table = dataset.scanner(columns=[column, state_of(column)], fragments=fragments).to_table()
    values = table[column].to_numpy(zero_copy_only=False).astype(np.float32)
    return {"values": values, "states": table[state_of(column)].to_pylist()}
