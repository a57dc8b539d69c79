"""captions/<batch>.parquet: the raw captions of a batch. The folder is also the catalog of batches."""

from __future__ import annotations

import io
import re
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.errors import BadInput
from lance_assets.store.files import DataRoot, names, opened, read, write
from lance_assets.store.schema import CAPTIONS

#: Key of the parquet's own metadata: the file of the source that the batch was read from.
SOURCE_PATH = b"lance_assets.source_path"

#: The shape of a batch key, as partitions.py defines it: any other file in the folder is not ours.
FILE = re.compile(r"([a-z0-9][a-z0-9_]*-[0-9a-f]{8}-[0-9]+-[0-9]+)\.parquet")
#: Footers that are asked for at once: on an object store, waiting is all that they cost.
THREADS = 16


def captions_name(batch: str) -> str:
    """Name of a batch's file below the root."""
    return f"captions/{batch}.parquet"


def write_captions(root: DataRoot, batch: str, table: pa.Table) -> None:
    """Writes one batch in one step. The same rows give the same bytes."""
    sink = io.BytesIO()
    path = table["source_path"][0].as_py() if table.num_rows else ""
    schema = CAPTIONS.with_metadata({SOURCE_PATH: path})
    pq.write_table(table.cast(CAPTIONS).replace_schema_metadata(schema.metadata), sink, compression="zstd")
    write(root, captions_name(batch), sink.getvalue())


def read_captions(root: DataRoot, batch: str) -> pa.Table:
    """Raises BadInput when the batch was never materialized."""
    name = captions_name(batch)
    try:
        data = read(root, name)
    except FileNotFoundError as error:
        raise BadInput(
            f"batch {batch} has no captions yet: materialize raw_captions for it first ({root.at(name)})"
        ) from error
    return pq.read_table(pa.BufferReader(data))


def catalog(root: DataRoot) -> list[str]:
    """Keys of all batches whose captions are stored, sorted."""
    return [match[1] for name in names(root, "captions") if (match := FILE.fullmatch(name))]


def source_paths(root: DataRoot) -> dict[str, str]:
    """The file of the source that each stored batch was read from, by batch key; reads footers only.

    Raises BadInput for a damaged file."""
    keys = catalog(root)
    with ThreadPoolExecutor(THREADS) as pool:
        return dict(zip(keys, pool.map(lambda key: _source_path(root, key), keys), strict=True))


def _source_path(root: DataRoot, batch: str) -> str:
    name = captions_name(batch)
    try:
        with opened(root, name) as file:
            metadata = pq.read_schema(file).metadata or {}
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{root.at(name)} is damaged; delete it and materialize raw_captions anew: {reason}") from error
    return metadata.get(SOURCE_PATH, b"").decode()
