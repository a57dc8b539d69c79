"""Rows of a fragment for scorers: only the stale ones, only the columns that are read, a bounded piece at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import lance
import numpy as np
import pyarrow as pa

from lance_assets.scoring.api import PREFIX, Scorer
from lance_assets.store.fragments import fragment_at

#: Bytes of encoded images that are read at a time (JPEG files of about passes.PIXELS), and rows at least and at most.
#: Buffers of 16 MB cost twice the time: the allocator gives each back to the system and asks for it again.
CHUNK_BYTES, FEWEST, MOST = 3 * 1024**2, 16, 4096
#: Bytes that Lance reads ahead; by itself it reads up to 2 GB, a whole fragment, ahead of a slow scorer.
AHEAD_BYTES = 32 * 1024**2


def stale_rows(
    dataset: lance.LanceDataset,
    number: int,
    scorers: Mapping[str, Scorer],
    wanted: Mapping[str, np.ndarray | None],
) -> Iterator[pa.Table]:
    """The rows of a fragment that any scorer wants (offsets by name, None = all), some at a time, with their row ids,
    addresses and what the scorers read; a score column that nobody made yet is left out."""
    fields = {name for scorer in scorers.values() for name in (*scorer.fields, *scorer.inputs)}
    fields |= {"width", "height"} if "image" in fields else set()
    fields -= {name for name in fields if name.startswith(PREFIX) and name not in dataset.schema.names}
    rows = None
    if all(offsets is not None for offsets in wanted.values()):
        stale = np.unique(np.concatenate([offsets for offsets in wanted.values() if offsets is not None]))
        rows = f"_rowaddr IN ({','.join(str((number << 32) + int(offset)) for offset in stale)})"
    fragment = fragment_at(dataset, number)
    scanner = dataset.scanner(
        columns=sorted({"id", "image_sha256", *fields}),
        filter=rows,
        fragments=[fragment],
        batch_size=_rows_at_a_time(fragment) if "image" in fields else MOST,
        io_buffer_size=AHEAD_BYTES,
        blob_handling="all_binary",
        scan_in_order=True,
        with_row_address=True,
        with_row_id=True,
    )
    for batch in scanner.to_batches():
        yield pa.Table.from_batches([batch])


def shares(chunk: pa.Table, wanted: Mapping[str, np.ndarray | None]) -> Iterator[tuple[list[str], pa.Table]]:
    """Which scorers want which rows of a chunk: those that want the same rows share a pass."""
    if all(offsets is None for offsets in wanted.values()):
        yield list(wanted), chunk
        return
    at = chunk["_rowaddr"].to_numpy() & 0xFFFFFFFF
    groups: dict[bytes, tuple[list[str], np.ndarray]] = {}
    for name, offsets in wanted.items():
        mask = np.ones(len(at), bool) if offsets is None else np.isin(at, offsets)
        groups.setdefault(mask.tobytes(), ([], mask))[0].append(name)
    for names, mask in groups.values():
        if mask.any():
            yield names, chunk if mask.all() else chunk.filter(pa.array(mask))


def facts(rows: pa.Table, scorers: Iterable[Scorer], more: Iterable[str] = ()) -> pa.Table:
    """What is kept of rows that were scored, for the digest of their inputs: a copy, since the columns of a batch that
    Lance read are freed together, and one small column would hold all pictures of the fragment."""
    names = {name for scorer in scorers for name in scorer.inputs} - {"image"}
    return rows.select(sorted({"id", "image_sha256", *names, *more})).take(pa.array(np.arange(rows.num_rows)))


def read_by(scorer: Scorer, rows: pa.Table) -> pa.Table:
    """What travels to a served scorer; the sizes of pictures say how many are decoded at a time."""
    names = {"id", *scorer.fields} | ({"width", "height"} if "image" in scorer.fields else set())
    return rows.select([name for name in rows.column_names if name in names])


def _rows_at_a_time(fragment: lance.LanceFragment) -> int:
    """By the mean size of a row; a file that does not say how large it is counts as pictures of 1 MB."""
    sizes = [file.file_size_bytes for file in fragment.data_files()]
    known = [size for size in sizes if size]
    mean = max(1, sum(known) // max(1, fragment.physical_rows)) if known else 1_000_000
    return int(np.clip(CHUNK_BYTES // mean, FEWEST, MOST))
