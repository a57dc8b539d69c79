"""One labelling pass over one batch: plan what is stale, score it, announce it, publish it, survive kill -9 anywhere.

Who scores is the caller's: Ray tasks in production, a plain loop in tests. A finished fragment is announced in the
ledger at once, so that a crash costs at most the fragments in flight; the next pass publishes what was announced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import numpy as np

from lance_assets.store import ledger
from lance_assets.store.batches import RUN
from lance_assets.store.claims import Held, claim
from lance_assets.store.columns import ensure_columns
from lance_assets.store.failures import explained, record_failures
from lance_assets.store.files import DataRoot
from lance_assets.store.intents import Part, announced
from lance_assets.store.objects import typed
from lance_assets.store.recovery import recovered
from lance_assets.store.staging import Staged, publish
from lance_assets.store.staleness import Identity, StaleCell, stale_cells
from lance_assets.store.table import batch_fragments, open_images
from lance_assets.store.trials import begin
from lance_assets.store.versions import hold


@dataclass(frozen=True)
class Job:
    """One fragment to score: for each column the offsets of its stale rows (None = all)."""

    fragment: int
    columns: Mapping[str, np.ndarray | None]


#: Scores jobs at a pinned version and yields each as it is done, with its parts or with what it raised.
RunJobs = Callable[[int, Sequence[Job]], Iterator[tuple[Job, list[Part] | Exception]]]
#: Looks at what a pass made of a column before it is published; raises to keep it from being.
Accept = Callable[[str, Sequence[Part]], None]


@dataclass
class Outcome:
    """What became of one column of one batch: `calls` rows scored now, `stale` what was planned, `version` the table's
    after it, `error` why it was not (wholly) published."""

    column: str
    calls: int = 0
    stale: list[StaleCell] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    version: int = 0
    error: Exception | None = None


@typed
def label_batch(
    root: DataRoot,
    batch: str,
    identities: Sequence[Identity],
    run_id: str,
    run_jobs: RunJobs,
    accept: Accept = lambda column, parts: None,
    force: bool = False,
    recover: bool = True,
    narrow: Callable[[Sequence[StaleCell]], list[StaleCell]] = list,
    due: datetime | None = None,
) -> list[Outcome]:
    """Scores exactly the stale cells of a batch and publishes one commit per column. What fails is in its outcome and
    stops nothing else. Without `recover` what a killed pass announced is scored again: for values that depend on what
    other batches published meanwhile. `narrow` takes some of the stale cells; the others stay stale, as do
    transient failures that are not due at `due` (None = all are). Raises Busy where somebody else works on the
    batch."""
    with claim(root, batch) as held:
        ensure_columns(root, {identity.column: identity.type for identity in identities})
        with hold(root, batch, held) as dataset:
            known = ledger.history(ledger.read(root, batch))
            stale = narrow(stale_cells(root, dataset, batch, identities, force, due, known))
            outcomes = {
                identity.column: Outcome(
                    identity.column,
                    stale=[cell for cell in stale if cell.column == identity.column],
                    version=dataset.version,
                )
                for identity in identities
            }
            by_column = {identity.column: identity for identity in identities}
            staged = [] if force or not recover else recovered(root, dataset, batch, by_column, stale, known)
            done = {(one.fragment, one.column) for one in staged}
            jobs = _jobs(cell for cell in stale if (cell.fragment, cell.column) not in done)
            for job, result in run_jobs(dataset.version, jobs) if jobs else ():
                if isinstance(result, Exception):
                    for column in job.columns:
                        outcomes[column].error = result
                    continue
                ledger.append(root, _announced(root, batch, result, by_column, run_id, stale, known))
                for part in result:
                    outcomes[part.staged.column].parts.append(part)
                    outcomes[part.staged.column].calls += sum(part.states)
            for outcome in outcomes.values():
                ready = [one for one in staged if one.column == outcome.column]
                trial = partial(begin, root, dataset, batch, outcome.column, outcome.stale)
                _publish(root, outcome, ready, accept, trial, {RUN: run_id}, held)
    return list(outcomes.values())


def _announced(
    root: DataRoot,
    batch: str,
    parts: Sequence[Part],
    identities: Mapping[str, Identity],
    run_id: str,
    stale: Sequence[StaleCell],
    known: ledger.History,
) -> list[ledger.Intent]:
    """The ledger rows of a finished fragment; why rows of it have no value is written down before."""
    intents: list[ledger.Intent] = []
    for part in parts:
        mine = announced(part, batch, identities[part.staged.column], run_id, stale, known)
        record_failures(root, part.staged.column, batch, part.staged.name, explained(part.failures, mine[0]))
        intents += mine
    return intents


def _jobs(cells: Iterable[StaleCell]) -> list[Job]:
    """One job per fragment: several reasons of one column become one set of rows."""
    wanted: dict[int, dict[str, np.ndarray | None]] = {}
    for cell in cells:
        columns = wanted.setdefault(cell.fragment, {})
        if cell.column not in columns:
            columns[cell.column] = cell.offsets
            continue
        before, more = columns[cell.column], cell.offsets
        columns[cell.column] = None if before is None or more is None else np.union1d(before, more)
    return [Job(number, columns) for number, columns in wanted.items()]


def _publish(
    root: DataRoot,
    outcome: Outcome,
    recovered: Sequence[Staged],
    accept: Accept,
    trial: Callable[[], None],
    properties: dict[str, str],
    held: Held,
) -> None:
    staged = [*recovered, *(part.staged for part in outcome.parts)]
    if not staged:
        return
    try:
        accept(outcome.column, outcome.parts)
        trial()
        outcome.version = publish(root, staged, properties, held).version
    except Exception as error:  # the other columns go on; the caller raises at the end
        outcome.error = error


@typed
def any_stale(
    root: DataRoot, batches: Sequence[str], identities: Sequence[Identity], force: bool, due: datetime | None = None
) -> bool:
    """True where labelling would score something: worth deploying a model for. `due` as in `label_batch`."""
    dataset = open_images(root)
    if force:
        return any(batch_fragments(dataset, batch) for batch in batches)
    return any(stale_cells(root, dataset, batch, identities, due=due) for batch in batches)
