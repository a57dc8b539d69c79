"""Rows of one file, by format. A row that cannot be read is a sentence in its place, never an exception."""

from __future__ import annotations

import csv
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.errors import BadInput
from lance_assets.sources.base import Columns
from lance_assets.sources.columns import CAPTION_NAMES, URL_NAMES

Cells = dict[str, Any]

#: A longer line is no row but an accident (a dump without line breaks): it is skipped, not loaded.
MAX_LINE = 16_000_000

_BOM = b"\xef\xbb\xbf"


class RowFormat(ABC):
    """How one kind of file holds rows."""

    @abstractmethod
    def rows(self, path: Path, first: int, columns: Columns) -> Iterator[Cells | str]:
        """Rows from number `first` on: the cells by column name, or a sentence about what is wrong with the row."""

    def survey(self, path: Path) -> tuple[int, set[str]]:
        """(number of rows, names of all columns in readable rows; empty when no row is readable)."""
        count, names = 0, set[str]()
        for cells in self.rows(path, 0, Columns()):
            count += 1
            if not isinstance(cells, str):
                names.update(cells)
        return count, names


class Jsonl(RowFormat):
    """One JSON object a line, UTF-8; blank lines are not rows."""

    def rows(self, path: Path, first: int, columns: Columns) -> Iterator[Cells | str]:
        with path.open("rb") as stream:
            for number, line in islice(_lines(stream), first, None):
                yield _parse(line, f"line {number} of {path.name}")


class Csv(RowFormat):
    """Comma-separated, UTF-8, first record = column names; an empty cell is no value, an empty line no row."""

    def rows(self, path: Path, first: int, columns: Columns) -> Iterator[Cells | str]:
        return islice(self._records(path), first, None)

    def _records(self, path: Path) -> Iterator[Cells | str]:
        # surrogateescape lets a row with broken bytes through to the check below, alone
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            reader = csv.reader(iter(lambda: stream.readline(MAX_LINE), ""))
            header: list[str] | None = None
            while True:
                try:
                    record = next(reader, None)
                except csv.Error as error:
                    yield f"line {reader.line_num} of {path.name} is not valid CSV: {error}"
                    continue
                if record is None:
                    return
                if not record:
                    continue
                if header is None:
                    header = record
                    continue
                where = f"line {reader.line_num} of {path.name}"
                if len(record) != len(header):
                    yield f"{where} has {len(record)} fields, but the header has {len(header)}"
                elif not _is_utf8("".join(record)):
                    yield f"{where} is not UTF-8"
                else:
                    yield {name: cell or None for name, cell in zip(header, record, strict=True)}


class Parquet(RowFormat):
    """Read by row group, only the columns that may hold image or caption; binary parts of a struct are left out."""

    def survey(self, path: Path) -> tuple[int, set[str]]:
        with _parquet(path) as file:
            return file.metadata.num_rows, set(file.schema_arrow.names)

    def rows(self, path: Path, first: int, columns: Columns) -> Iterator[Cells | str]:
        with _parquet(path) as file:
            groups, skip = _groups_from(file, first)
            row = first - skip
            try:
                for batch in file.iter_batches(128, groups, _wanted(file.schema_arrow, columns)):
                    for index in range(batch.num_rows):
                        if row >= first:
                            yield _cells(batch, index, f"row {row} of {path.name}")
                        row += 1
            except (pa.ArrowException, OSError) as error:
                raise BadInput(f"{path} cannot be read at row {row}: {error}") from error


FORMATS: dict[str, RowFormat] = {".jsonl": Jsonl(), ".csv": Csv(), ".parquet": Parquet()}


def _lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """(line number from 1, line) of lines that are not blank; None instead of a line that is too long."""
    number = 0
    while line := stream.readline(MAX_LINE):
        number += 1
        if len(line) == MAX_LINE and not line.endswith(b"\n"):
            while (rest := stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
                continue
            yield number, None
            continue
        line = line.removeprefix(_BOM) if number == 1 else line
        if line.strip():
            yield number, line


def _parse(line: bytes | None, where: str) -> Cells | str:
    if line is None:
        return f"{where} is longer than {MAX_LINE} bytes"
    try:
        cells = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        return f"{where} is not a JSON object: {error}"
    return cells if isinstance(cells, dict) else f"{where} is not a JSON object: it is a {type(cells).__name__}"


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise BadInput(f"{path} is not a parquet file: {error}") from error


def _groups_from(file: pq.ParquetFile, first: int) -> tuple[list[int], int]:
    """(row groups that hold row `first` and later ones, rows of the first of them to skip)."""
    count = file.metadata.num_row_groups
    for group in range(count):
        size = file.metadata.row_group(group).num_rows
        if first < size:
            return list(range(group, count)), first
        first -= size
    return [], first


def _wanted(schema: pa.Schema, columns: Columns) -> list[str]:
    names = (columns.url,) if columns.url is not None else URL_NAMES
    names += (columns.caption,) if columns.caption is not None else CAPTION_NAMES
    wanted: list[str] = []
    for field in schema:
        if field.name in names and pa.types.is_struct(field.type):
            wanted += [f"{field.name}.{part.name}" for part in field.type.fields if not _is_binary(part.type)]
        elif field.name in names:
            wanted.append(field.name)
    return wanted


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _cells(batch: pa.RecordBatch, index: int, where: str) -> Cells | str:
    try:
        return {name: column[index].as_py() for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    except (ValueError, OverflowError) as error:  # bytes that are no UTF-8 in a text column, a date beyond Python's
        return f"{where} cannot be read: {error}"
