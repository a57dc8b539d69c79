"""Duplicates across all batches: hashes are made by Ray tasks, fragment by fragment; compared with what is stored, and
published, by one pass at a time.

Only hashes travel back from the tasks. While a batch is hashed others may publish; from looking up what is stored until
its own commit a pass holds a claim, so that of two batches one sees the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import ray

from lance_assets.compute.fragment import rows_of
from lance_assets.compute.label import Labelled, Report, each_batch, identity_of, not_broken
from lance_assets.compute.reading import facts, stale_rows
from lance_assets.scoring.api import ScoreFailure, State
from lance_assets.scoring.duplicate import Duplicate
from lance_assets.store import ledger
from lance_assets.store.cells import Cells
from lance_assets.store.claims import Held, claim
from lance_assets.store.duplicates import CLAIM, COLUMN, TYPE, Grouping, Pair, Picture
from lance_assets.store.duplicates_stored import pinned, stored
from lance_assets.store.failures import failures_table
from lance_assets.store.files import DataRoot
from lance_assets.store.intents import Part
from lance_assets.store.labelling import Job, Outcome, label_batch
from lance_assets.store.staging import stage
from lance_assets.store.staleness import input_digest
from lance_assets.store.table import open_images


@dataclass(frozen=True)
class Hashed:
    """The rows of one fragment, in order: pictures with their hashes, states (not OK: the hash says nothing), those
    without a hash and why (schema FAILED), and the input digest."""

    pictures: list[Picture]
    states: np.ndarray
    failures: pa.Table
    digest: str
    started: datetime


#: Hashes the stale rows of fragments at a pinned version, or says what was raised; in any order.
Hashing = Callable[[DataRoot, int, Sequence[Job], Duplicate], Iterator[tuple[Job, Hashed | Exception]]]


def hash_fragment(root: DataRoot, version: int, job: Job, scorer: Duplicate) -> Hashed:
    """Memory is that of a few images, whatever the size of the fragment."""
    started, dataset = ledger.now(), open_images(root, version)
    rows: list[pa.Table] = []
    hashes: list[bytes | ScoreFailure | None] = []
    for chunk in stale_rows(dataset, job.fragment, {scorer.name: scorer}, {scorer.name: job.columns[COLUMN]}):
        hashes += scorer.hashes(rows_of(chunk))
        rows.append(facts(chunk, [scorer], ["_rowid"]))
    table = pa.concat_tables(rows)
    columns = (table[name].to_pylist() for name in ("id", "image_sha256", "_rowid"))
    pictures = [
        Picture(id, sha256, row, None if isinstance(hash, ScoreFailure) else hash)
        for id, sha256, row, hash in zip(*columns, hashes, strict=True)
    ]
    states = np.array([one.state if isinstance(one, ScoreFailure) else State.OK for one in hashes], np.uint8)
    messages = {at: str(one) for at, one in enumerate(hashes) if isinstance(one, ScoreFailure)}
    failed = failures_table(table["id"], states, messages)
    return Hashed(pictures, states, failed, input_digest(table, scorer.inputs), started)


_hash_fragment = ray.remote(num_cpus=1, max_retries=2)(hash_fragment)


def hash_on_ray(
    root: DataRoot, version: int, jobs: Sequence[Job], scorer: Duplicate
) -> Iterator[tuple[Job, Hashed | Exception]]:
    """One Ray task per fragment."""
    tasks = [_hash_fragment.remote(root, version, job, scorer) for job in jobs]
    for job, task in zip(jobs, tasks, strict=True):
        try:
            result: Hashed | Exception = ray.get(task)
        except Exception as error:  # raised again per column, after the good fragments are published
            result = error
        yield job, result


def find_duplicates(
    root: DataRoot,
    batches: Sequence[str],
    scorer: Duplicate,
    run_id: str,
    report: Report,
    cache: Path,
    hashing: Hashing = hash_on_ray,
    force: bool = False,
    due: datetime | None = None,
) -> Iterator[Labelled]:
    """Groups what is stale in the batches, one batch after another, and yields what became of each after its commit.
    `cache` is the folder of the index. What fails is in the result, as in `label`."""
    pairs: list[Pair] = []

    def pass_over(batch: str) -> list[Outcome]:
        pairs.clear()
        with ExitStack() as until_published:
            one = _Pass(root, batch, scorer, cache, hashing, report, until_published, pairs)
            # What a killed pass announced does not know the batches that were published since: never recovered.
            asked = [identity_of(scorer)]
            return label_batch(root, batch, asked, run_id, one.run, one.accept, force, recover=False, due=due)

    for done in each_batch(batches, [scorer.name], pass_over, report):
        yield replace(done, pairs=list(pairs))


@dataclass
class _Pass:
    """One batch. Nothing is claimed and no index is looked at before something is stale and hashed."""

    root: DataRoot
    batch: str
    scorer: Duplicate
    cache: Path
    hashing: Hashing
    report: Report
    until_published: ExitStack
    pairs: list[Pair]
    held: Held | None = None

    def run(self, version: int, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Part] | Exception]]:
        """RunJobs: in the order of the rows, so that the same batch gives the same groups."""
        hashed = {job.fragment: one for job, one in self.hashing(self.root, version, jobs, self.scorer)}
        anew = {
            job.fragment for job in jobs if job.columns[COLUMN] is None and isinstance(hashed[job.fragment], Hashed)
        }
        radius, by = self.scorer.config.radius, self.scorer.by
        self.held = self.until_published.enter_context(claim(self.root, CLAIM))
        index = self.until_published.enter_context(stored(self.root, self.cache, by, radius, anew, self.report))
        grouping = Grouping(index, radius, by, pinned(self.root, self.batch, self.report))
        for job in jobs:
            result = hashed[job.fragment]
            yield job, result if isinstance(result, Exception) else [self._part(version, job, result, grouping)]
        self.pairs += grouping.pairs

    def _part(self, version: int, job: Job, hashed: Hashed, grouping: Grouping) -> Part:
        good = hashed.states == State.OK
        cells = iter(grouping.cells([one for one, ok in zip(hashed.pictures, good, strict=True) if ok]))
        values = pa.array([next(cells) if ok else None for ok in good], TYPE)
        staged = stage(
            self.root,
            open_images(self.root, version),
            job.fragment,
            COLUMN,
            Cells.of(values, hashed.states),
            job.columns[COLUMN],
        )
        states = tuple(int(count) for count in np.bincount(hashed.states, minlength=len(State)))
        return Part(staged, hashed.digest, states, hashed.failures, hashed.started)

    def accept(self, column: str, parts: Sequence[Part]) -> None:
        """Raises ScorerBroken, LostClaim."""
        not_broken(column, parts)
        if self.held is not None:
            self.held.check()
