"""`lance-assets bench duplicates`: what it costs to find the duplicates of new rows in a small and in a large table.

Hashes are planted, a tenth of them near an earlier one, since hashing costs the same per image in any table; what it
costs stands apart. In one process, on one folder, with a warm page cache.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from lance_assets.compute.duplicates import Hashed, find_duplicates
from lance_assets.scoring.duplicate import Duplicate
from lance_assets.scoring.perceptual_hash import perceptual_hash
from lance_assets.store import ledger
from lance_assets.store.claims import claim
from lance_assets.store.duplicates import CLAIM, Picture
from lance_assets.store.duplicates_stored import stored
from lance_assets.store.failures import failures_table
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import fragment_at
from lance_assets.store.labelling import Job
from lance_assets.store.table import ensure_images, open_images, session
from lance_assets_tests.bench.report import Goal, Report, Value
from lance_assets_tests.bench.simulated import add_batch
from lance_assets_tests.bench.sizes import Say

TITLE = "Medians in one process on one folder; hashes are planted, hashing stands apart."
STEPS = ("look up and publish", "take the new rows into the index")


@dataclass(frozen=True)
class Sizes:
    """Rows stored before (the smallest table first), rows of a new batch, rows of a fragment."""

    stored: tuple[int, ...]
    new: int
    fragment: int
    turns: int
    hashed: int


FULL = Sizes(stored=(20_000, 200_000), new=10_000, fragment=2_500, turns=7, hashed=40)
QUICK = Sizes(stored=(1_000, 5_000), new=500, fragment=250, turns=2, hashed=5)


def run(quick: bool, say: Say) -> Report:
    """Builds its tables in a temporary folder (TMPDIR says where), measures and deletes them."""
    sizes = QUICK if quick else FULL
    session.cache_clear()
    spent: dict[tuple[str, int], list[Spent]] = {}
    with tempfile.TemporaryDirectory(prefix="lance-assets-bench-") as folder:
        tables = [Table(Path(folder) / str(count), count, sizes) for count in sizes.stored]
        for table in tables:
            table.build()
            say(f"stored and compared {table.count:,} rows")
        for turn in range(sizes.turns):
            for table in tables:
                for step, one in zip(STEPS, table.turn(turn), strict=True):
                    spent.setdefault((step, table.count), []).append(one)
        say(f"compared {sizes.new:,} new rows {sizes.turns} times in each")
    rows: list[dict[str, Value]] = [
        {"what": step, "case": f"{sizes.new:,} new rows in {count:,}", **_median(many)._asdict()}
        for (step, count), many in spent.items()
    ]
    whole = {
        count: _median([Spent.sum(turn) for turn in zip(*(spent[step, count] for step in STEPS), strict=True)])
        for count in sizes.stored
    }
    few, many = whole[min(whole)], whole[max(whole)]
    goals = [
        Goal("duplicates_seconds_most_over_fewest_stored_rows", many.wall_s / few.wall_s, 1.3),
        Goal("duplicates_cpu_seconds_most_over_fewest_stored_rows", many.cpu_s / few.cpu_s, 1.3),
    ]
    title = f"{'QUICK, smaller tables than the goals are for. ' if quick else ''}{TITLE}"
    return Report(title, [*rows, *_hashing(sizes)], goals)


class Spent(NamedTuple):
    """Seconds of the wall's and of the CPU's clock; where others work on the machine, trust the latter."""

    wall_s: float
    cpu_s: float

    @classmethod
    def on(cls, act: Callable[[], None]) -> Spent:
        wall, cpu = time.perf_counter(), time.process_time()
        act()
        return cls(time.perf_counter() - wall, time.process_time() - cpu)

    @classmethod
    def sum(cls, many: Iterable[Spent]) -> Spent:
        return cls(*map(sum, zip(*many, strict=True)))


def _median(many: Sequence[Spent]) -> Spent:
    return Spent(*map(statistics.median, zip(*many, strict=True)))


class Table:
    """A table of so many compared rows, put back to that after each turn."""

    def __init__(self, folder: Path, count: int, sizes: Sizes) -> None:
        self.work, self.kept, self.count, self.sizes = folder, folder.with_suffix(".kept"), count, sizes
        self.root, self.cache = DataRoot(folder / "data"), folder / "cache"

    def build(self) -> None:
        size = self.sizes.new
        ensure_images(self.root)
        for start in range(0, self.count, size):
            batch = f"stored-00000000-{start}-{start + size}"
            add_batch(self.root, batch, size, self.sizes.fragment)
            self._compare(batch)
        self._index()
        self.work.rename(self.kept)

    def turn(self, turn: int) -> tuple[Spent, Spent]:
        """The pass over a new batch, and the index taking in what it published."""
        shutil.copytree(self.kept, self.work)
        for path in self.cache.glob("*/*"):  # or the first commit would have to write all that was copied to the disk
            with path.open("rb+") as copied:
                os.fsync(copied)
        batch = f"new-00000000-{turn}-{turn + self.sizes.new}"
        add_batch(self.root, batch, self.sizes.new, self.sizes.fragment)
        spent = Spent.on(lambda: self._compare(batch)), Spent.on(self._index)
        shutil.rmtree(self.work)
        return spent

    def _compare(self, batch: str) -> None:
        for done in find_duplicates(self.root, [batch], Duplicate(), "bench", _quiet, self.cache, self._planted):
            if done.failure or done.calls != self.sizes.new:
                raise RuntimeError(f"{done.failure or done}")

    def _index(self) -> None:
        scorer = Duplicate()
        with claim(self.root, CLAIM), stored(self.root, self.cache, scorer.by, scorer.config.radius, (), _quiet):
            pass

    def _planted(
        self, root: DataRoot, version: int, jobs: Sequence[Job], scorer: Duplicate
    ) -> Iterator[tuple[Job, Hashed]]:
        """Hashes as a function of the row; every tenth is three bits away from that of a stored one."""
        dataset = open_images(root, version)
        for job in jobs:
            rows = dataset.scanner(
                columns=["id", "image_sha256"], fragments=[fragment_at(dataset, job.fragment)], with_row_id=True
            ).to_table()
            ids = rows["id"].to_pylist()
            digests = [hashlib.sha256(id.encode()) for id in ids]
            hashes = [one.digest() for one in digests]
            for at in range(0, len(ids), 10):
                other = f"stored-00000000-0-{self.sizes.new}/{int(ids[at].rpartition('/')[2]) // 10 * 10 + 1}"
                flipped = int.from_bytes(hashlib.sha256(other.encode()).digest()) ^ 0b111
                hashes[at] = flipped.to_bytes(32)
            pictures = list(map(Picture, ids, [one.hexdigest() for one in digests], rows["_rowid"].to_pylist(), hashes))
            states = np.zeros(len(ids), np.uint8)
            yield job, Hashed(pictures, states, failures_table(rows["id"], states, {}), "planted", ledger.now())


def _hashing(sizes: Sizes) -> list[dict[str, Value]]:
    rows: list[dict[str, Value]] = []
    for side in (256, 512, 1024):
        rough = np.random.default_rng(side).integers(0, 255, (12, 12, 3), dtype=np.uint8)
        out = io.BytesIO()
        Image.fromarray(rough).resize((side, side), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
        spent = [Spent.on(partial(_hash, out.getvalue())) for _ in range(sizes.hashed)]
        rows.append({"what": "hash one image", "case": f"JPEG of {side} x {side} pixels", **_median(spent)._asdict()})
    return rows


def _hash(data: bytes) -> None:
    perceptual_hash(data)


def _quiet(line: str) -> None:
    """Progress that nobody reads."""
