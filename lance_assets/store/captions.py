"""captions/<batch>.parquet: the raw captions of a batch. The folder is also the catalog of batches."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.errors import BadInput
from lance_assets.store.files import DataRoot, names, opened, read, write
from lance_assets.store.schema import CAPTIONS

#: Keys of the parquet's own metadata: the file of the source that the batch was read from, that file's digest and that
#: of its rows (sources.digest); and whether its captions changed since its images were stored.
SOURCE_PATH, SOURCE_SHA256 = b"lance_assets.source_path", b"lance_assets.source_sha256"
ROWS_SHA256, UNSETTLED = b"lance_assets.rows_sha256", b"lance_assets.unsettled"

#: The shape of a batch key, as partitions.py defines it: any other file in the folder is not ours.
FILE = re.compile(r"([a-z0-9][a-z0-9_]*-[0-9a-f]{8}-[0-9]+-[0-9]+)\.parquet")
#: Footers that are asked for at once: on an object store, waiting is all that they cost.
THREADS = 16


def captions_name(batch: str) -> str:
    """Name of a batch's file below the root."""
    return f"captions/{batch}.parquet"


class Footer(NamedTuple):
    """What a batch's parquet says of itself: see SOURCE_PATH and the others."""

    path: str
    sha256: str = ""
    rows_sha256: str = ""
    unsettled: bool = False


def write_captions(root: DataRoot, batch: str, table: pa.Table, rows_sha256: str = "", unsettled: bool = False) -> None:
    """Writes one batch in one step. The same rows give the same bytes. `rows_sha256` is the digest of what the source
    said; `unsettled`: they replace others, of which the images may be stored."""
    sink = io.BytesIO()
    path, sha256 = (table[name][0].as_py() if table.num_rows else "" for name in ("source_path", "source_sha256"))
    said = {SOURCE_PATH: path, SOURCE_SHA256: sha256, ROWS_SHA256: rows_sha256}
    said |= {UNSETTLED: "1"} if unsettled else {}
    schema = CAPTIONS.with_metadata(said)
    pq.write_table(table.cast(CAPTIONS).replace_schema_metadata(schema.metadata), sink, compression="zstd")
    write(root, captions_name(batch), sink.getvalue())


def read_captions(root: DataRoot, batch: str) -> pa.Table:
    """Columns that a file was written without are NULL. Raises BadInput when the batch was never materialized."""
    name = captions_name(batch)
    try:
        data = read(root, name)
    except FileNotFoundError as error:
        raise BadInput(
            f"batch {batch} has no captions yet: materialize raw_captions for it first ({root.at(name)})"
        ) from error
    table = pq.read_table(pa.BufferReader(data))
    for number, column in enumerate(CAPTIONS):
        if column.name not in table.schema.names:
            table = table.add_column(number, column, pa.nulls(table.num_rows, column.type))
    return table


def catalog(root: DataRoot) -> list[str]:
    """Keys of all batches whose captions are stored, sorted."""
    return [match[1] for name in names(root, "captions") if (match := FILE.fullmatch(name))]


def unsettled(captions: pa.Table) -> bool:
    """Whether these captions, as read, changed since the images of their batch were stored."""
    return UNSETTLED in (captions.schema.metadata or {})


def rows_sha256(captions: pa.Table) -> str:
    """Digest of what the source said, of captions as read; empty where they were written without."""
    return (captions.schema.metadata or {}).get(ROWS_SHA256, b"").decode()


def mark_settled(root: DataRoot, batch: str) -> None:
    """The images of a batch follow its captions."""
    captions = read_captions(root, batch)
    if unsettled(captions):
        write_captions(root, batch, captions, rows_sha256(captions))


def footers(root: DataRoot) -> dict[str, Footer]:
    """What each stored batch says of itself, by batch key; reads no rows. Raises BadInput for a damaged file."""
    keys = catalog(root)
    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip(keys, pool.map(lambda key: _footer(root, key), keys), strict=True))


def _footer(root: DataRoot, batch: str) -> Footer:
    name = captions_name(batch)
    try:
        with opened(root, name) as file:
            said = pq.read_schema(file).metadata or {}
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{root.at(name)} is damaged; delete it and materialize raw_captions anew: {reason}") from error
    path, sha256, rows = (said.get(name, b"").decode() for name in (SOURCE_PATH, SOURCE_SHA256, ROWS_SHA256))
    return Footer(path, sha256, rows, UNSETTLED in said)
