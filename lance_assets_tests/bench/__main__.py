"""`make bench`: what it costs to add one score column, against rewriting Parquet. One run, medians, ratios.

Both sides read every image of the same table and write one float per row with the same no-op scorer, in one process,
without Ray or Dagster; the page cache is warm on both. Parquet cannot add a column in place: it writes the file anew.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.store.batches import replace_batch, write_fragment
from lance_assets.store.cells import Cells
from lance_assets.store.columns import ensure_columns
from lance_assets.store.files import DataRoot
from lance_assets.store.schema import IMAGES
from lance_assets.store.staging import publish, stage
from lance_assets.store.table import batch_fragments, ensure_images

BATCH = "bench-00000000-0-1"


def rows(count: int, size: int) -> pa.RecordBatch:
    """Rows with images of `size` random bytes: what a no-op scorer reads and never decodes."""
    noise = np.random.default_rng(0)
    plain = {
        "id": [str(number) for number in range(count)],
        "batch": [BATCH] * count,
        "messages": [[{"role": "user", "content": "<image>"}]] * count,
        "image": [noise.bytes(size) for _ in range(count)],
        "width": [1] * count,
        "height": [1] * count,
    }
    return pa.record_batch([pa.array(plain.get(f.name, [None] * count), f.type) for f in IMAGES], schema=IMAGES)


def label_lance(root: DataRoot, column: str) -> int:
    """Scores every row into a new column; returns the bytes written."""
    before = _bytes(Path(root.images))
    dataset = ensure_columns(root, {column: pa.float32()})
    staged = []
    for number in batch_fragments(dataset, BATCH):
        fragment = dataset.get_fragment(number)
        scanner = dataset.scanner(columns=["image"], fragments=[fragment], batch_size=256, blob_handling="all_binary")
        scores = np.concatenate([_lengths(batch["image"]) for batch in scanner.to_batches()])
        staged.append(stage(root, dataset, number, column, Cells.of(scores, np.zeros(len(scores), np.uint8))))
    publish(root, staged, {})
    return _bytes(Path(root.images)) - before


def label_parquet(source: Path, target: Path) -> int:
    """Writes the file anew with one more column; returns the bytes written."""
    with pq.ParquetFile(source) as file:
        schema = file.schema_arrow.append(pa.field("score", pa.float32()))
        with pq.ParquetWriter(target, schema, compression="none") as writer:
            for batch in file.iter_batches(256):
                scores = pa.array(_lengths(batch["image"]), pa.float32())
                writer.write_batch(pa.record_batch([*batch.columns, scores], schema=schema))
    return target.stat().st_size


def _lengths(images: pa.Array) -> np.ndarray:
    return np.array([len(image) for image in images.to_pylist()], np.float32)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _timed(act: Callable[[], int]) -> tuple[float, float, int]:
    wall, cpu = time.perf_counter(), time.process_time()
    written = act()
    return time.perf_counter() - wall, time.process_time() - cpu, written


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--bytes", type=int, default=15_000, help="size of an image")
    parser.add_argument("--repeat", type=int, default=5)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root, source = DataRoot(Path(folder) / "data"), Path(folder) / "source.parquet"
        ensure_images(root)
        table = rows(flags.rows, flags.bytes)
        size = -(-flags.rows // 4)
        parts = [write_fragment(root, iter([table.slice(at, size)])) for at in range(0, flags.rows, size)]
        replace_batch(root, BATCH, [one for part in parts for one in part], {})
        pq.write_table(pa.Table.from_batches([table]), source, compression="none", row_group_size=1000)
        found: dict[str, list[tuple[float, float, int]]] = {"lance column": [], "parquet rewrite": []}
        for turn in range(flags.repeat):
            found["lance column"].append(_timed(lambda turn=turn: label_lance(root, f"score_{turn}")))
            found["parquet rewrite"].append(_timed(lambda: label_parquet(source, Path(folder) / "target.parquet")))
    print(f"{flags.rows} images of {flags.bytes} bytes, median of {flags.repeat}")
    medians = {name: [statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in found.items()}
    for name, (wall, cpu, written) in medians.items():
        print(f"{name:<17}{wall:>8.2f} s{cpu:>8.2f} CPU s{written:>14,.0f} bytes written")
    ours, theirs = medians.values()
    print("parquet / lance  " + "".join(f"{b / a:>10.1f}x" for a, b in zip(ours, theirs, strict=True)))


if __name__ == "__main__":
    main()
