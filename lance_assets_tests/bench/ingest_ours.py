"""This package as a client of `bench ingest`, and the command that it is measured by: one batch of captions becomes
rows of a table, its images downloaded, checked and committed.

`task` is what one Ray task does, and the commit, in one process without Ray; `ray` is all of image_dataset's work on a
private cluster, with the same number of threads shared by its tasks.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

from lance_assets.ingest.limits import Limits
from lance_assets.ingest.rows import captions_table
from lance_assets.sources.base import RawRow, SourceFile
from lance_assets.store.captions import read_captions, write_captions
from lance_assets.store.files import DataRoot
from lance_assets.store.table import ensure_images, of_batch, open_images
from lance_assets_tests.bench.ingest_clients import Client, Part
from lance_assets_tests.bench.processes import look
from lance_assets_tests.bench.sizes import Say

MODULE = "lance_assets_tests.bench.ingest_ours"
MEASURED = "measured.json"
BATCH, WARM = "bench-aaaaaaaa-0-1", "bench-bbbbbbbb-0-1"
#: Rows that a fresh cluster stores before it is measured: two tasks, so that the workers of both cores are there.
WARM_ROWS, WARM_FIRST, CORES = 300, 1_000_000, 2
#: Seconds in which a cluster that has nothing to do is watched.
IDLE_S = 2.0


class Ours(Client):
    """Our side; `kind` is task or ray."""

    def __init__(self, kind: str) -> None:
        self.kind, self.name = kind, "ours, one task" if kind == "task" else "ours, on Ray"

    def prepare(self, say: Say) -> None:
        """Nothing: it is what is running."""

    def command(self, folder: Path, urls: Sequence[str], captions: Sequence[str], threads: int) -> list[str]:
        host = urlsplit(urls[0]).netloc
        _write(folder, BATCH, urls, captions)
        if self.kind == "ray":
            warm = [f"http://{host}/0/{WARM_FIRST + number}.jpg" for number in range(WARM_ROWS)]
            _write(folder, WARM, warm, ["A photo."] * WARM_ROWS)
        return [sys.executable, "-m", MODULE, self.kind, str(folder), host, str(threads)]

    def part(self, folder: Path) -> Part | None:
        said = folder / MEASURED
        return Part(**json.loads(said.read_text())) if said.exists() else None

    def stored(self, folder: Path) -> list[tuple[str, str]]:
        scanner = open_images(_root(folder)).scanner(
            columns=["image_url", "image"], filter=of_batch(BATCH), blob_handling="all_binary"
        )
        rows = (row for batch in scanner.to_batches() for row in batch.to_pylist())
        return [(row["image_url"], hashlib.sha256(row["image"]).hexdigest()) for row in rows]


def _root(folder: Path) -> DataRoot:
    return DataRoot(folder / "data")


def _write(folder: Path, batch: str, urls: Sequence[str], captions: Sequence[str]) -> None:
    file = SourceFile(batch, "ab" * 32, len(urls))
    rows = [RawRow(n, url, caption) for n, (url, caption) in enumerate(zip(urls, captions, strict=True))]
    write_captions(_root(folder), batch, captions_table("bench", "", file, rows))


def _limits(host: str, threads: int) -> Limits:
    """One try for each URL, as the other side; the server takes as many requests at a time as there are threads."""
    return Limits(attempts=1, per_host=threads, allow_hosts=frozenset({host}))


def task(folder: Path, host: str, threads: int) -> None:
    """The batch in this process."""
    from lance_assets.compute.slices import Plan, write_slice
    from lance_assets.ingest.changes import STORED, changes
    from lance_assets.store.batches import replace_batch, stored_rows
    from lance_assets.store.rejects import read_rejects, replace_rejects

    root = _root(folder)
    plan = Plan(root, _limits(host, threads), threads, folder / "shared")
    ensure_images(root)
    dataset = open_images(root)
    there, refused = stored_rows(dataset, BATCH, STORED), read_rejects(root, BATCH)
    todo = changes(read_captions(root, BATCH), there, refused, ())
    part = write_slice(plan, BATCH, 0, todo.write, dataset.version)
    replace_rejects(root, BATCH, part.rejects)
    replace_batch(root, BATCH, part.fragments, {})


def on_ray(folder: Path, host: str, threads: int) -> None:
    """The batch on a cluster that has stored another one before."""
    from lance_assets.compute.cluster import RayCluster
    from lance_assets.compute.ingest import ingest
    from lance_assets.compute.slices import Plan

    RayCluster(num_cpus=CORES).connect(None)
    plan = Plan(_root(folder), _limits(host, threads), threads // CORES, folder / "shared")
    _done(list(ingest(plan, [WARM], "", print)))
    before = look(os.getpid())
    time.sleep(IDLE_S)
    start = look(os.getpid())
    _done(list(ingest(plan, [BATCH], "", print)))
    idle = (start.cpu_s - before.cpu_s) / (start.moment - before.moment)
    (folder / MEASURED).write_text(json.dumps(asdict(Part(start.moment, time.monotonic(), idle))))


def _done(batches: Sequence[object]) -> None:
    for batch in batches:
        if failure := getattr(batch, "failure", None):
            raise RuntimeError(failure)


if __name__ == "__main__":
    {"task": task, "ray": on_ray}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
