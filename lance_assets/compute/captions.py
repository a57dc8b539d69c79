"""raw_captions: from a source's rows to captions/<batch>.parquet."""

from __future__ import annotations

import pyarrow as pa

from lance_assets.errors import BadInput
from lance_assets.ingest.rows import captions_table
from lance_assets.partitions import Batch
from lance_assets.sources.base import Source, SourceFile
from lance_assets.store.captions import write_captions
from lance_assets.store.claims import claim
from lance_assets.store.files import DataRoot


def find_file(source: Source, batch: Batch) -> SourceFile:
    """The file that a batch key names. Raises BadInput when the source has it no longer."""
    for file in source.files():
        if file.sha256.startswith(batch.file):
            return file
    raise BadInput(f"source {source.id} has no file whose sha256 starts with {batch.file} any more (batch {batch})")


def collect(root: DataRoot, source: Source, key: str, files: dict[str, SourceFile] | None = None) -> pa.Table:
    """Reads, parses and stores the captions of one batch; returns them (schema CAPTIONS).

    `files` keeps the files found so far by the first 8 digits of their sha256, so that many batches survey a source
    once.
    """
    batch = Batch.parse(key)
    found = {} if files is None else files
    with source.serving():
        if batch.file not in found:
            found[batch.file] = find_file(source, batch)
        file = found[batch.file]
        rows = source.read(file, batch.first, batch.end)
        table = captions_table(source.id, source.revision, file, rows)
    if table.num_rows != batch.rows:
        raise BadInput(f"{file.path} gave {table.num_rows} rows for {key}, not {batch.rows}")
    with claim(root, key):
        write_captions(root, key, table)
    return table
