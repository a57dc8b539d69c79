"""Pictures that lie in a source's own file as bytes: known to be there without being read, and read when asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from lance_assets.errors import BadInput
from lance_assets.sources.base import Columns
from lance_assets.sources.columns import EMBEDDED, image_names, picture
from lance_assets.sources.parquet import groups, leaves, open_parquet
from lance_assets.sources.row_format import Cells

#: Rows of pictures that are in memory at a time.
PICTURES = 16

#: The batches of a file with the number of each one's first row.
Batches = Iterator[tuple[int, pa.RecordBatch]]


def images_in_parquet(path: Path, columns: Columns, rows: Sequence[int]) -> Iterator[bytes | None]:
    """The pictures of ascending rows, None for a row without one; only the image columns of the row groups that are
    needed are read. Raises BadInput: not a parquet file, damaged, no such row."""
    return pictures(_image_batches(path, columns, rows), columns, rows, path)


def _image_batches(path: Path, columns: Columns, rows: Sequence[int]) -> Batches:
    with open_parquet(path) as file:
        wanted = [leaf.path for leaf in leaves(file, image_names(columns))]
        for group, start, size in groups(file, rows[0] if rows else 0, rows[-1] + 1 if rows else 0):
            if bisect_left(rows, start) == bisect_left(rows, start + size):
                continue
            for batch in file.iter_batches(PICTURES, [group], wanted):
                yield start, batch
                start += batch.num_rows


def pictures(batches: Batches, columns: Columns, rows: Sequence[int], path: Path) -> Iterator[bytes | None]:
    """The pictures of ascending rows out of batches that hold all these rows. Raises BadInput."""
    at = 0
    try:
        for start, batch in batches:
            end = bisect_left(rows, start + batch.num_rows)
            for row in rows[at:end]:
                yield picture({name: batch[name][row - start].as_py() for name in batch.schema.names}, columns)
            at = end
            if at == len(rows):
                return
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read at row {rows[at]}: {error}") from error
    if at < len(rows):
        raise BadInput(f"{path} has no row {rows[at]}")


def rows_of(batch: pa.RecordBatch, images: Collection[str], where: str, first: int) -> Iterator[Cells | str]:
    """The cells of each row, EMBEDDED instead of bytes in the columns `images`; a sentence for one that Python cannot
    hold: bytes that are no UTF-8 in a text column, a date beyond Python's."""
    try:
        yield from _cells(batch, images)
    except (ValueError, OverflowError):
        for index in range(batch.num_rows):
            try:
                yield _cells(batch.slice(index, 1), images)[0]
            except (ValueError, OverflowError) as error:
                yield f"row {first + index} of {where} cannot be read: {error}"


def _cells(batch: pa.RecordBatch, images: Collection[str]) -> list[Cells]:
    names = batch.schema.names
    if not names:
        return [{} for _ in range(batch.num_rows)]
    values = [_thin(batch[name]) if name in images else batch[name].to_pylist() for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _thin(array: pa.Array) -> list[Any]:
    """The values, EMBEDDED instead of bytes."""
    kind = array.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return [EMBEDDED if there else None for there in array.is_valid().to_pylist()]
    if isinstance(array, pa.StructArray) and kind.num_fields:
        names = [field.name for field in kind.fields]
        parts = zip(*map(_thin, array.flatten()), strict=True)
        there = array.is_valid().to_pylist()
        return [dict(zip(names, row, strict=True)) if known else None for known, row in zip(there, parts, strict=True)]
    if isinstance(array, pa.ListArray | pa.LargeListArray):
        values = iter(_thin(array.flatten()))
        lengths = array.value_lengths().to_pylist()
        return [None if length is None else list(islice(values, length)) for length in lengths]
    return array.to_pylist()
