"""The labelling loop: plan the stale cells of a batch, score its fragments as Ray tasks, publish one commit per column.

What travels back from the tasks are file names and counts; images never do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray

from lance_assets.compute.fragment import Part, ScoreCall, score_fragment, score_locally
from lance_assets.errors import in_one_line
from lance_assets.scoring.api import Scorer, State
from lance_assets.store import ledger
from lance_assets.store.columns import column_of, ensure_columns, publish, scorer_of, state_of
from lance_assets.store.files import DataRoot, claim
from lance_assets.store.staleness import Identity, StaleCell, stale_cells
from lance_assets.store.table import batch_fragments, open_images

Report = Callable[[str], None]
Failed = list[tuple[str, Exception]]


@dataclass
class Labelled:
    """What became of one column of one batch. `calls` = rows scored now; `states` = counts of these rows."""

    batch: str
    scorer: str
    calls: int
    reasons: list[str]
    states: dict[str, int] = field(default_factory=dict)
    message: str | None = None
    seconds: float = 0.0
    version: int = 0
    failure: str | None = None


class ScorerBroken(RuntimeError):
    """Every row of a batch failed for good: that is a fault of the scorer, not of the rows, and is not published."""


_score_fragment = ray.remote(num_cpus=1, max_retries=2)(score_fragment)


def identity_of(scorer: Scorer) -> Identity:
    """What the column of this scorer claims to be now."""
    return Identity(column_of(scorer.name), scorer.name, scorer.version, scorer.config_hash(), tuple(scorer.fields))


def any_stale(root: DataRoot, batches: Sequence[str], scorer: Scorer, force: bool) -> bool:
    """True where labelling would score something: worth deploying a model for."""
    dataset = open_images(root)
    return any(stale_cells(root, dataset, batch, [identity_of(scorer)], force) for batch in batches)


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
    for batch in batches:
        try:
            yield from _label_batch(root, batch, scorers, run_id, report, call, force)
        except Exception as error:  # planning failed; the caller raises at the end and names every batch that failed
            report(f"{batch}: {_said(error)}")
            for name in scorers:
                yield Labelled(batch, name, 0, [], failure=_said(error))


def _label_batch(
    root: DataRoot,
    batch: str,
    scorers: Mapping[str, Scorer],
    run_id: str,
    report: Report,
    call: ScoreCall,
    force: bool,
) -> list[Labelled]:
    started = time.monotonic()
    with claim(root, batch):
        identities = [identity_of(scorer) for scorer in scorers.values()]
        dataset = ensure_columns(root, [identity.column for identity in identities])
        stale = stale_cells(root, dataset, batch, identities, force)
        parts, failed = _score(root, dataset.version, stale, scorers, call)
        ledger.append(root, [_intent(part, batch, scorers[part.scorer], run_id) for part in parts])
        results: list[Labelled] = []
        for name in scorers:
            result = _planned(batch, name, stale)
            result.version = dataset.version
            try:
                _publish(root, result, [part for part in parts if part.scorer == name], run_id)
                _raise_first(name, failed)
            except Exception as error:  # the other columns go on; the caller raises at the end
                result.failure = _said(error)
            result.seconds = time.monotonic() - started
            report(_told(result))
            results.append(result)
    return results


def _publish(root: DataRoot, result: Labelled, parts: Sequence[Part], run_id: str) -> None:
    """Makes what was scored of one column visible. Raises ScorerBroken and what `store.columns.publish` raises."""
    if not parts:
        return
    totals = np.sum([part.states for part in parts], axis=0)
    result.states = {state.name.lower(): int(totals[state]) for state in State}
    result.message = next((part.message for part in parts if part.message), None)
    rows = int(totals.sum())
    if rows > 1 and totals[State.FAILED_PERMANENT] == rows:
        raise ScorerBroken(f"{result.scorer} failed on each of {rows} rows: {result.message}")
    properties = {"lance_assets.run": run_id, "lance_assets.scorer": result.scorer}
    result.version = publish(root, [part.staged for part in parts], properties).version


def _told(result: Labelled) -> str:
    if result.failure:
        return f"{result.batch}: {result.scorer} failed: {result.failure}"
    if not result.calls:
        return f"{result.batch}: {result.scorer} is up to date"
    failed = sum(count for state, count in result.states.items() if state != "ok")
    without = f", {failed} without a score ({result.message})" if failed else ""
    rate = result.calls / max(result.seconds, 1e-9)
    return f"{result.batch}: {result.scorer} scored {result.calls} rows, {rate:.0f} rows/s{without}"


def _planned(batch: str, name: str, stale: Sequence[StaleCell]) -> Labelled:
    mine = [cell for cell in stale if cell.column == column_of(name)]
    return Labelled(batch, name, sum(cell.rows for cell in mine), sorted({cell.reason for cell in mine}))


def _score(
    root: DataRoot, version: int, stale: Sequence[StaleCell], scorers: Mapping[str, Scorer], call: ScoreCall
) -> tuple[list[Part], Failed]:
    """One Ray task per stale fragment, all columns that are stale there in one pass. Returns what was scored, and
    (scorer, error) for what was not: a failing fragment never throws the others away."""
    names: dict[int, list[str]] = {}
    for cell in stale:
        names.setdefault(cell.fragment, []).append(scorer_of(cell.column))
    tasks = {
        _score_fragment.remote(root, version, number, {name: scorers[name] for name in wanted}, call): wanted
        for number, wanted in names.items()
    }
    parts: list[Part] = []
    failed: Failed = []
    for task, wanted in tasks.items():
        try:
            parts += ray.get(task)
        except Exception as error:  # raised again per column, after the good fragments are published
            failed += [(name, error) for name in wanted]
    return parts, failed


def _said(error: Exception) -> str:
    return in_one_line(f"{type(error).__name__}: {error}")


def _raise_first(name: str, failed: Failed) -> None:
    for scorer, error in failed:
        if scorer == name:
            raise error


def _intent(part: Part, batch: str, scorer: Scorer, run_id: str) -> ledger.Intent:
    ok, transient, permanent, refused = part.states
    return ledger.Intent(
        column=part.staged.column,
        batch=batch,
        fragment=part.staged.fragment,
        scorer=scorer.name,
        version=scorer.version,
        config_hash=scorer.config_hash(),
        input_digest=part.digest,
        planned_file=part.staged.name,
        rows_ok=ok,
        rows_failed_transient=transient,
        rows_failed_permanent=permanent,
        rows_refused=refused,
        read_version=part.staged.read_version,
        run_id=run_id,
        started=part.started,
    )


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
