"""captions/<batch>.parquet: the raw captions of a batch. The folder is also the catalog of batches."""

from __future__ import annotations

import hashlib
import io

import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.errors import BadInput
from lance_assets.store.files import DataRoot, write_atomically
from lance_assets.store.schema import CAPTIONS


def write_captions(root: DataRoot, batch: str, table: pa.Table) -> None:
    """Writes one batch in one step. The same rows give the same bytes."""
    sink = io.BytesIO()
    pq.write_table(table.cast(CAPTIONS), sink, compression="zstd")
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


def captions_digest(table: pa.Table) -> str:
    """SHA-256 over what a stored row is made of: id, URL and caption of each row, in order."""
    digest = hashlib.sha256()
    for column in ("id", "image_url", "caption", "problem"):
        for value in table[column].to_pylist():
            digest.update(b"\0" if value is None else value.encode() + b"\1")
    return digest.hexdigest()
