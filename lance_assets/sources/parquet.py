"""Which parts of a parquet file hold pictures, and what it says about them without their being read."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.errors import BadInput

#: A row group may hold thousands of pictures: read them as they are needed, not all at once.
BUFFER_BYTES = 1 << 20


def open_parquet(path: Path) -> pq.ParquetFile:
    """Raises BadInput for what is no parquet file, OSError for one that is not there or not readable."""
    try:
        return pq.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise BadInput(f"{path} is not a parquet file: {error}") from error


@dataclass(frozen=True)
class Leaf:
    """One column as parquet stores it: its number, its path, the column of the table that it is part of, and whether
    it holds bytes that are no text."""

    number: int
    path: str
    column: str
    binary: bool


def leaves(file: pq.ParquetFile, names: Collection[str]) -> list[Leaf]:
    """The leaves of the named columns."""
    found: list[Leaf] = []
    for number in range(len(file.schema)):
        said = file.schema.column(number)
        column = next((name for name in names if said.path == name or said.path.startswith(f"{name}.")), None)
        if column is not None:
            binary = said.physical_type == "BYTE_ARRAY" and said.logical_type.type == "NONE"
            found.append(Leaf(number, said.path, column, binary))
    return found


def groups(file: pq.ParquetFile, first: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, first row, rows) of each row group that holds one of the rows [first, end)."""
    start = 0
    for number in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(number).num_rows
        if start < end and start + rows > first:
            yield number, start, rows
        start += rows


def filled(file: pq.ParquetFile, group: int, leaf: Leaf) -> bool | None:
    """Whether every row of a group has exactly one value in a leaf: None = some may, False = none has any."""
    chunk = file.metadata.row_group(group).column(leaf.number)
    said = chunk.statistics
    if said is None or not said.has_null_count:
        return None
    if said.null_count == 0 and chunk.num_values == file.metadata.row_group(group).num_rows:
        return True
    return False if said.null_count == chunk.num_values else None
