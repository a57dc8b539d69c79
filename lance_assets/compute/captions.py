"""raw_captions: from a source's rows to captions/<batch>.parquet."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa

from lance_assets.errors import BadInput
from lance_assets.ingest.rows import captions_table
from lance_assets.partitions import Batch
from lance_assets.sources.base import Source, SourceFile
from lance_assets.sources.digest import RowsDigest
from lance_assets.store.captions import catalog, read_captions, rows_sha256, unsettled, write_captions
from lance_assets.store.claims import claim
from lance_assets.store.files import DataRoot

#: Columns that name the file a row was read from: they change with the file although the row does not.
OF_THE_FILE = ["source_sha256", "source_revision"]


@dataclass
class Surveyed:
    """A source with what was found out about it so far, so that many batches survey it once."""

    source: Source
    listing: dict[str, str] = field(default_factory=dict)
    files: dict[str, SourceFile] = field(default_factory=dict)

    def file(self, batch: Batch, path: str | None) -> SourceFile:
        """The file that a batch key names, or the one that is now at the path its rows came from. Raises BadInput when
        the source has neither."""
        self.listing = self.listing or self.source.listing()
        found = next((name for name, sha256 in self.listing.items() if sha256.startswith(batch.file)), path)
        if found is None or found not in self.listing:
            raise BadInput(
                f"source {self.source.id} has no file whose sha256 starts with {batch.file} any more (batch {batch})"
            )
        if found not in self.files:
            self.files[found] = self.source.file(found)
        return self.files[found]


def collect(root: DataRoot, surveyed: Surveyed, key: str) -> pa.Table:
    """Reads, parses and stores the captions of one batch; returns them (schema CAPTIONS).

    Where the batch has captions already and its file changed, rows that say something else replace them (their images
    follow when image_dataset is materialized); rows that the file no longer has stay.
    """
    batch, source = Batch.parse(key), surveyed.source
    before = read_captions(root, key) if key in catalog(root) else None
    path = before["source_path"][0].as_py() if before is not None and before.num_rows else None
    with source.serving():
        file = surveyed.file(batch, path)
        digest = RowsDigest()
        end = batch.end if before is None else min(batch.end, file.rows)
        rows = list(digest.of(source.read(file, batch.first, end)))
        digest.add_images(source.images(file, [row.row for row in rows if row.embedded]))
    table = captions_table(source.id, source.revision, file, rows)
    if before is not None:
        table = pa.concat_tables([table, before.slice(table.num_rows).cast(table.schema)])
    if table.num_rows != batch.rows:
        raise BadInput(f"{file.path} gave {table.num_rows} rows for {key}, not {batch.rows}")
    changed = before is not None and (unsettled(before) or not _same(before, table, digest.hex()))
    with claim(root, key):
        write_captions(root, key, table, digest.hex(), changed)
    return table


def _same(before: pa.Table, now: pa.Table, digest: str) -> bool:
    known = rows_sha256(before)
    return known == digest if known else before.drop_columns(OF_THE_FILE).equals(now.drop_columns(OF_THE_FILE))
