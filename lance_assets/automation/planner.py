"""What there is to do. Pure functions over plain values; sensors, jobs and the command line are shells around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lance_assets.partitions import Batch, new_batches
from lance_assets.sources.base import Source


def discover(
    source: Source, known: Iterable[str], batch_rows: int, limit: int | None, paths: Mapping[str, str]
) -> list[str]:
    """Keys of the batches that a source still lacks, in its own order; `paths` is store.captions.source_paths. Raises
    BadInput."""
    files = ((file.path, file.sha256, file.rows) for file in source.files())
    batches = new_batches(source.id, files, map(Batch.parse, known), batch_rows, limit, paths)
    return [str(batch) for batch in batches]
