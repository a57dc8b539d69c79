"""rights/<batch>/<file>.parquet: what each server said when an image was asked for, and may it be used.

Append-only: each slice of rows that was downloaded adds a file, so that nothing is rewritten and a kill loses nothing.
"""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.store.files import DataRoot, names, read, write

#: One row per time that a row's image was asked for. `reason` NULL = the image came (or, with status 304, is still the
#: one that is stored); `opt_out` is what the host or the answer says against use, `licence` what the source says.
RIGHTS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("final_url", pa.string()),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("status", pa.int16()),
        pa.field("reason", pa.string()),
        pa.field("attempts", pa.int32()),
        pa.field("etag", pa.string()),
        pa.field("last_modified", pa.string()),
        pa.field("opt_out", pa.string()),
        pa.field("licence", pa.string()),
        pa.field("orientation", pa.int8()),
        pa.field("location_stripped", pa.bool_()),
    ]
)


def record_rights(root: DataRoot, batch: str, name: str, rows: pa.Table) -> None:
    """Adds rows (schema RIGHTS) as a file of this name; the same name again replaces it."""
    if rows.num_rows:
        sink = io.BytesIO()
        pq.write_table(rows.cast(RIGHTS), sink, compression="zstd")
        write(root, f"{_folder(batch)}/{name}.parquet", sink.getvalue())


def rights_history(root: DataRoot, batch: str) -> pa.Table:
    """Everything that was recorded for a batch, oldest first."""
    found = [
        pq.read_table(pa.BufferReader(read(root, f"{_folder(batch)}/{name}")), schema=RIGHTS)
        for name in names(root, _folder(batch))
        if name.endswith(".parquet")
    ]
    return pa.concat_tables(found).sort_by("time") if found else RIGHTS.empty_table()


def rights(root: DataRoot, batch: str) -> pa.Table:
    """The last word about each row of a batch."""
    history = rights_history(root, batch)
    last = {id: at for at, id in enumerate(history["id"].to_pylist())}
    return history.take(pa.array(sorted(last.values()), pa.int64()))


def _folder(batch: str) -> str:
    return f"rights/{batch}"
