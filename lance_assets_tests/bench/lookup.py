"""Who made one cell: asked of a ledger that labelling wrote, and of the worst one, with a row for every single cell."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa

from lance_assets.store import ledger
from lance_assets.store.columns import column_of
from lance_assets.store.files import DataRoot
from lance_assets.store.provenance import cell, find
from lance_assets.store.schema import LEDGER
from lance_assets.store.table import STORAGE_VERSION, open_images
from lance_assets_tests.bench.meter import seconds
from lance_assets_tests.bench.report import Goal, Value
from lance_assets_tests.bench.simulated import batch_key, fill
from lance_assets_tests.bench.sizes import Say, Sizes


def one_cell(folder: Path, sizes: Sizes, say: Say) -> tuple[list[dict[str, Value]], list[Goal]]:
    """From the id of a row to the ledger row of one of its cells, everything opened for it."""
    batches, fragments, rows, count = sizes.cells
    root, columns = DataRoot(folder / "cells"), [column_of(f"bench_{number}") for number in range(count)]
    fill(root, batches, fragments, rows, columns)
    choice = np.random.default_rng(0)
    ids = [
        f"{batch_key(int(choice.integers(batches)))}/{choice.integers(fragments * rows)}" for _ in range(sizes.lookups)
    ]
    wanted = [(id, columns[int(choice.integers(count))]) for id in ids]
    cells = f"{batches * fragments * rows * count:,} cells"
    results: list[dict[str, Value]] = []
    goals: list[Goal] = []
    for name, prepare in (("label_batch", lambda: None), ("one_row_per_cell", lambda: _explode(root))):
        prepare()
        spent = [seconds(lambda id=id, column=column: _look_up(root, id, column)) for id, column in wanted]
        noted = ledger.read(root, columns=["batch"]).num_rows
        say(f"looked up {len(wanted)} cells in a ledger of {noted:,} rows")
        case = f"of {cells} in {noted:,} ledger rows"
        results.append({"what": "look up one cell", "case": case, "wall_s": statistics.median(spent)})
        goals.append(Goal(f"lookup_seconds_{name}", max(spent), 1))
    return results, goals


def _look_up(root: DataRoot, id: str, column: str) -> None:
    dataset = open_images(root)
    [place] = find(dataset, id)
    if cell(root, dataset, place, column) is None:
        raise RuntimeError(f"{column} of {id} is not explained")


def _explode(root: DataRoot) -> None:
    """Writes the ledger anew as if each cell had been scored, and announced, alone."""
    rows = ledger.read(root)
    shutil.rmtree(root.ledger)

    def cells() -> Iterator[pa.RecordBatch]:
        for at in range(rows.num_rows):
            row = rows.slice(at, 1)
            if row["column"][0].as_py() == ledger.IMAGE:
                yield from row.to_batches()
                continue
            count = row["rows_ok"][0].as_py()
            many = row.take(pa.array(np.zeros(count, np.int64)))
            offsets = pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32), np.arange(count, dtype=np.int32))
            many = many.set_column(LEDGER.get_field_index("offsets"), LEDGER.field("offsets"), offsets)
            many = many.set_column(
                LEDGER.get_field_index("rows_ok"), LEDGER.field("rows_ok"), pa.array(np.ones(count, np.int64))
            )
            yield from many.combine_chunks().to_batches()

    reader = pa.RecordBatchReader.from_batches(LEDGER, cells())
    dataset = lance.write_dataset(
        reader, root.ledger, max_rows_per_file=ledger.MERGED_ROWS, data_storage_version=STORAGE_VERSION
    )
    dataset.create_scalar_index("batch", "BITMAP")
