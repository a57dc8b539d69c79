"""failures/<scorer>/<batch>/<file>.parquet: why rows have no value, one file for each column file that has such rows.

Written before what it explains is announced: a kill costs no message. Rows are known by their id, so a message survives
whatever rewrites their files; the last word about a cell is that of the makers whom the ledger names for it.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lance_assets.store.claims import Busy, claim
from lance_assets.store.columns import CellState, column_of, score_columns, scorer_of, state_of
from lance_assets.store.files import DataRoot, delete, listing, names, read, write
from lance_assets.store.fragments import fragment_at
from lance_assets.store.ledger import Intent
from lance_assets.store.staleness import made_by
from lance_assets.store.table import batch_fragments, open_images

FOLDER = "failures"

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
#: What tells one making of cells from another.
MAKER = ("version", "config_hash", "run_id")
#: So often a folder is read anew whose files go while they are read.
LOOKS = 10


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
    before = _files(root, folder)
    if len(before) >= MERGE_AFTER:
        rows = _last_words(pa.concat_tables([*(_read(root, folder, name) for name in before), rows]))
    _write(root, f"{folder}/{PurePosixPath(file).stem}.parquet", rows)
    if len(before) >= MERGE_AFTER:
        for name in before:
            delete(root, f"{folder}/{name}")


def failures(root: DataRoot, column: str, batches: Sequence[str]) -> pa.Table:
    """Rows of these batches that have no value in a column now, and why: schema FAILURES and `batch`. A row whose
    message was lost has none."""
    dataset = open_images(root)
    found = [FAILURES.append(pa.field("batch", pa.string())).empty_table()]
    for batch in batches if column in score_columns(dataset.schema) else ():
        now = _failed_now(dataset, column, batch)
        if now.num_rows:
            found.append(_explained(root, dataset, column, batch, now))
    return pa.concat_tables(found)


def forget_failures(root: DataRoot, before: datetime) -> list[str]:
    """Why rows failed that are gone or have a value since, is forgotten, unless it was written after that time: then it
    may explain what is about to be published. Returns the batches that were left alone since somebody writes them."""
    parts = (name.split("/") for name, _, _ in listing(root, FOLDER))
    busy: list[str] = []
    for scorer, batch in sorted({(part[0], part[1]) for part in parts if len(part) == 3}):
        column, folder = column_of(scorer), _folder(column_of(scorer), batch)
        if _left(root, column, batch, before) is None:
            continue
        try:
            with claim(root, batch, timeout=0):
                old, left = _files(root, folder), _left(root, column, batch, before)
                if left is not None and left.num_rows:
                    _write(root, f"{folder}/{uuid.uuid4().hex}.parquet", left)
                for name in old if left is not None else ():
                    delete(root, f"{folder}/{name}")
        except Busy:
            busy.append(batch)
    return busy


def _left(root: DataRoot, column: str, batch: str, before: datetime) -> pa.Table | None:
    """What is not to be forgotten of a folder; None = nothing is."""
    rows = _all(root, _folder(column, batch))
    failed = _failed_now(open_images(root), column, batch)["id"].combine_chunks()
    young = pc.field("time") >= pa.scalar(before, FAILURES.field("time").type)
    left = rows.filter(pc.field("id").isin(failed) | young)
    return None if left.num_rows == rows.num_rows else left


def _failed_now(dataset: lance.LanceDataset, column: str, batch: str) -> pa.Table:
    """Ids and states of the rows of a batch that have no value."""
    fragments = [fragment_at(dataset, number) for number in batch_fragments(dataset, batch)]
    if not fragments or column not in score_columns(dataset.schema):
        return pa.table({"id": pa.array([], pa.string()), "state": pa.array([], pa.uint8())})
    where = f"{state_of(column)} > 0"
    now = dataset.scanner(columns=["id", state_of(column)], filter=where, fragments=fragments).to_table()
    return now.rename_columns(["id", "state"])


def _explained(root: DataRoot, dataset: lance.LanceDataset, column: str, batch: str, now: pa.Table) -> pa.Table:
    """What was said by those who made the cells that are there: not by a pass that was never published."""
    said = _all(root, _folder(column, batch))
    makers = {tuple(getattr(one, name) for name in MAKER) for one in made_by(root, dataset, batch, column)}
    by = zip(*(said[name].to_pylist() for name in MAKER), strict=True)
    last = _last_words(said.filter(pa.array([one in makers for one in by], pa.bool_()))).drop_columns(["state"])
    joined = now.join(last, "id").append_column("batch", pa.array([batch] * now.num_rows, pa.string()))
    return joined.select([*FAILURES.names, "batch"]).cast(FAILURES.append(pa.field("batch", pa.string())))


def _last_words(rows: pa.Table) -> pa.Table:
    """The newest row of each id."""
    ordered = rows.sort_by([("time", "descending")]).combine_chunks()
    codes = ordered["id"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, at = np.unique(codes, return_index=True)
    return ordered.take(pa.array(np.sort(at)))


def _all(root: DataRoot, folder: str, looks: int = LOOKS) -> pa.Table:
    """What all files of a folder say; looked at again where one went meanwhile, since a merge writes before it
    deletes. Raises FileNotFoundError where files keep going."""
    try:
        return pa.concat_tables([FAILURES.empty_table(), *(_read(root, folder, one) for one in _files(root, folder))])
    except FileNotFoundError:
        if looks <= 1:
            raise
        return _all(root, folder, looks - 1)


def _files(root: DataRoot, folder: str) -> list[str]:
    return [name for name in names(root, folder) if name.endswith(".parquet")]


def _read(root: DataRoot, folder: str, name: str) -> pa.Table:
    return pq.read_table(pa.BufferReader(read(root, f"{folder}/{name}")), schema=FAILURES)


def _write(root: DataRoot, name: str, rows: pa.Table) -> None:
    sink = io.BytesIO()
    pq.write_table(rows.cast(FAILURES), sink, compression="zstd")
    write(root, name, sink.getvalue())


def _folder(column: str, batch: str) -> str:
    return f"{FOLDER}/{scorer_of(column)}/{batch}"
