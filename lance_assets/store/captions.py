"""captions/<batch>.parquet: the raw captions of a batch. The folder is also the catalog of batches."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.errors import BadInput
from lance_assets.store.files import DataRoot, write_atomically
from lance_assets.store.schema import CAPTIONS

#: Key of the parquet's own metadata: the file of the source that the batch was read from.
SOURCE_PATH = b"lance_assets.source_path"


def write_captions(root: DataRoot, batch: str, table: pa.Table) -> None:
    """Writes one batch in one step. The same rows give the same bytes."""
    sink = io.BytesIO()
    path = table["source_path"][0].as_py() if table.num_rows else ""
    schema = CAPTIONS.with_metadata({SOURCE_PATH: path})
    pq.write_table(table.cast(CAPTIONS).replace_schema_metadata(schema.metadata), sink, compression="zstd")
    write_atomically(root.captions / f"{batch}.parquet", sink.getvalue())


def read_captions(root: DataRoot, batch: str) -> pa.Table:
    """Raises BadInput when the batch was never materialized."""
    path = root.captions / f"{batch}.parquet"
    if not path.exists():
        raise BadInput(f"batch {batch} has no captions yet: materialize raw_captions for it first ({path})")
    return pq.read_table(path)


def catalog(root: DataRoot) -> list[str]:
    """Keys of all batches whose captions are stored, sorted."""
    return sorted(path.stem for path in root.captions.glob("*.parquet") if not path.name.startswith("."))


def source_paths(root: DataRoot) -> dict[str, str]:
    """The file of the source that each stored batch was read from, by batch key; reads footers only."""
    found: dict[str, str] = {}
    for key in catalog(root):
        metadata = pq.read_schema(root.captions / f"{key}.parquet").metadata or {}
        found[key] = metadata.get(SOURCE_PATH, b"").decode()
    return found
