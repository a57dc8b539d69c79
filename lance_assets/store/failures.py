"""failures/<column>/<batch>/<file>.parquet: why rows have no value, one file beside each column file that has any.

Written before what it explains is announced, and never changed: a kill costs no message, and the last word about a cell
is the one about the file that answers for it, or the last one about its row where that file was rewritten since.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.store.columns import CellState, score_columns, scorer_of, state_of
from lance_assets.store.files import DataRoot, delete, names, read, write
from lance_assets.store.ledger import Intent
from lance_assets.store.table import batch_fragments, open_images

#: Rows that have no value, as scored in one go.
FAILED = pa.schema(
    [pa.field("id", pa.string(), nullable=False), pa.field("state", pa.uint8()), pa.field("message", pa.string())]
)
#: What is kept of them.
FAILURES = pa.schema(
    [
        *FAILED,
        pa.field("attempts", pa.int32()),
        pa.field("version", pa.string()),
        pa.field("config_hash", pa.string()),
        pa.field("run_id", pa.string()),
        pa.field("time", pa.timestamp("us", tz="UTC")),
    ]
)
#: More files of one (column, batch) than this are merged into one.
MERGE_AFTER = 32


def failures_table(ids: pa.ChunkedArray, states: np.ndarray, messages: Mapping[int, str]) -> pa.Table:
    """Schema FAILED: the rows that are not OK. `messages` by position."""
    at = np.flatnonzero(states != CellState.OK)
    said = pa.array([messages.get(int(one)) for one in at], pa.string())
    return pa.table([ids.take(pa.array(at)), pa.array(states[at], pa.uint8()), said], schema=FAILED)


def explained(failed: pa.Table, intent: Intent) -> pa.Table:
    """Rows of schema FAILED, scored as an intent says, as schema FAILURES."""
    same = {name: getattr(intent, name) for name in ("attempts", "version", "config_hash", "run_id")}
    same["time"] = intent.planned
    for name in FAILURES.names[len(FAILED.names) :]:
        type = FAILURES.field(name).type
        failed = failed.append_column(name, pa.array([same[name]] * failed.num_rows, type))
    return failed


def record_failures(root: DataRoot, column: str, batch: str, file: str, rows: pa.Table) -> None:
    """Adds rows (schema FAILURES) that explain a column file. To be called with the claim of the batch."""
    if not rows.num_rows:
        return
    folder = _folder(column, batch)
    before = [name for name in names(root, folder) if name.endswith(".parquet")]
    if len(before) >= MERGE_AFTER:
        rows = pa.concat_tables([*(_read(root, folder, name) for name in before), rows])
        rows = _last_words(rows)
    sink = io.BytesIO()
    pq.write_table(rows.cast(FAILURES), sink, compression="zstd")
    write(root, f"{folder}/{PurePosixPath(file).stem}.parquet", sink.getvalue())
    if len(before) >= MERGE_AFTER:
        for name in before:
            delete(root, f"{folder}/{name}")


def failures(root: DataRoot, column: str, batches: Sequence[str]) -> pa.Table:
    """Rows of these batches that have no value in a column now, and why: schema FAILURES and `batch`. A row whose
    message was lost has none."""
    dataset = open_images(root)
    found = [FAILURES.append(pa.field("batch", pa.string())).empty_table()]
    for batch in batches if column in score_columns(dataset.schema) else ():
        fragments = [dataset.get_fragment(number) for number in batch_fragments(dataset, batch)]
        if not fragments:
            continue
        where = f"{state_of(column)} > 0"
        now = dataset.scanner(columns=["id", state_of(column)], filter=where, fragments=fragments).to_table()
        if now.num_rows:
            found.append(_explained(root, column, batch, now.rename_columns(["id", "state"])))
    return pa.concat_tables(found)


def _explained(root: DataRoot, column: str, batch: str, now: pa.Table) -> pa.Table:
    folder = _folder(column, batch)
    said = [_read(root, folder, name) for name in names(root, folder) if name.endswith(".parquet")]
    last = _last_words(pa.concat_tables([FAILURES.empty_table(), *said])).drop_columns(["state"])
    joined = now.join(last, "id").append_column("batch", pa.array([batch] * now.num_rows, pa.string()))
    return joined.select([*FAILURES.names, "batch"]).cast(FAILURES.append(pa.field("batch", pa.string())))


def _last_words(rows: pa.Table) -> pa.Table:
    """The newest row of each id."""
    ordered = rows.sort_by([("time", "descending")]).combine_chunks()
    codes = ordered["id"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, at = np.unique(codes, return_index=True)
    return ordered.take(pa.array(np.sort(at)))


def _read(root: DataRoot, folder: str, name: str) -> pa.Table:
    return pq.read_table(pa.BufferReader(read(root, f"{folder}/{name}")), schema=FAILURES)


def _folder(column: str, batch: str) -> str:
    return f"failures/{scorer_of(column)}/{batch}"
