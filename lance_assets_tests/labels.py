"""Labelling without Ray or models: a score that is a function of (column, version, row), counted call by call."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from lance_assets.store import ledger
from lance_assets.store.cells import Cells
from lance_assets.store.columns import CellState
from lance_assets.store.failures import failures_table
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import fragment_at
from lance_assets.store.intents import Part
from lance_assets.store.labelling import Job, Outcome, RunJobs, label_batch
from lance_assets.store.staging import stage
from lance_assets.store.staleness import Identity, input_digest
from lance_assets.store.table import open_images

SHARP = Identity("score_sharp", "sharp", "1", "c0ffee", ("image",))
WORDS = Identity("score_words", "words", "1", "c0ffee", ("messages",))


def expected(identity: Identity, row_id: str, image_sha256: str) -> float:
    """0..100 with four digits, another one for each column, version, row and image."""
    text = f"{identity.column}{identity.version}{row_id}{image_sha256}"
    return int(hashlib.sha256(text.encode()).hexdigest()[:5], 16) % 1_000_000 / 10_000


@dataclass
class Labeller:
    """Scores by `expected`, or by `cells` where given; `calls` holds (column, fragment, rows) of each part scored."""

    root: DataRoot
    calls: list[tuple[str, int, int]] = field(default_factory=list)
    cells: Callable[[Identity, pa.Table], Cells] | None = None
    called: Callable[[str, int, int], None] = lambda column, fragment, rows: None

    def __call__(self, batch: str, *identities: Identity, force: bool = False, run_id: str = "run") -> list[Outcome]:
        return label_batch(self.root, batch, identities, run_id, self.jobs(identities), force=force)

    @property
    def rows(self) -> int:
        """Scorer calls so far, in rows."""
        return sum(rows for _, _, rows in self.calls)

    def jobs(self, identities: Sequence[Identity]) -> RunJobs:
        known = {identity.column: identity for identity in identities}

        def run(version: int, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Part] | Exception]]:
            for job in jobs:
                yield job, [self._part(version, job, known[column]) for column in job.columns]

        return run

    def _part(self, version: int, job: Job, identity: Identity) -> Part:
        started, dataset = ledger.now(), open_images(self.root, version)
        offsets = job.columns[identity.column]
        rows = dataset.scanner(
            columns=["id", "image_sha256", *sorted(set(identity.fields) - {"image"})],
            fragments=[fragment_at(dataset, job.fragment)],
            with_row_address=True,
        ).to_table()
        if offsets is not None:
            rows = rows.filter(pa.array(np.isin(rows["_rowaddr"].to_numpy() & 0xFFFFFFFF, offsets)))
        self.calls.append((identity.column, job.fragment, rows.num_rows))
        self.called(identity.column, job.fragment, rows.num_rows)
        cells = self.cells(identity, rows) if self.cells else _scored(identity, rows)
        states = np.bincount(cells.states.to_numpy(), minlength=len(CellState))
        staged = stage(self.root, dataset, job.fragment, identity.column, cells, offsets)
        failed = failures_table(rows["id"], cells.numbers(), {})
        return Part(staged, input_digest(rows, identity.fields), tuple(map(int, states)), failed, started)


def _scored(identity: Identity, rows: pa.Table) -> Cells:
    pairs = zip(rows["id"].to_pylist(), rows["image_sha256"].to_pylist(), strict=True)
    return Cells.of(np.array([expected(identity, *pair) for pair in pairs]), np.zeros(rows.num_rows, np.uint8))
