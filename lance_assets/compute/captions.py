"""raw_captions: from a source's rows to captions/<batch>.parquet."""

from __future__ import annotations

import pyarrow as pa

from lance_assets.errors import BadInput
from lance_assets.ingest.rows import captions_table
from lance_assets.partitions import Batch
from lance_assets.sources.base import Source, SourceFile
from lance_assets.store.captions import write_captions
from lance_assets.store.files import DataRoot, claim


def find_file(source: Source, batch: Batch) -> SourceFile:
    """The file that a batch key names. Raises BadInput when the source has it no longer."""
    for file in source.files():
        if file.sha256.startswith(batch.file):
            return file
    raise BadInput(f"source {source.id} has no file whose sha256 starts with {batch.file} any more (batch {batch})")


def collect(root: DataRoot, source: Source, key: str) -> pa.Table:
    """Reads, parses and stores the captions of one batch; returns them (schema CAPTIONS)."""
    batch = Batch.parse(key)
    with source.serving():
        file = find_file(source, batch)
        rows = source.read(file, batch.first, batch.end)
        table = captions_table(source.id, source.revision, file, rows)
    if table.num_rows != batch.rows:
        raise BadInput(f"{file.path} gave {table.num_rows} rows for {key}, not {batch.rows}")
    with claim(root, key):
        write_captions(root, key, table)
    return table
