"""Rows of one file, by format. A row that cannot be read is a sentence in its place, never an exception."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO

from lance_assets.sources.base import Columns
from lance_assets.sources.json_array import JsonArray
from lance_assets.sources.row_format import Cells, RowFormat
from lance_assets.sources.tables import Arrow, Parquet

#: A longer line is no row but an accident (a dump without line breaks): it is skipped, not loaded.
MAX_LINE = 16_000_000

_BOM = b"\xef\xbb\xbf"


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
            csv.field_size_limit(MAX_LINE)  # dense captions pass the 131,072 characters that csv takes by default
            lines = _CsvLines(stream)
            reader = csv.reader(lines)
            header: list[str] | None = None
            while True:
                try:
                    record = next(reader, None)
                except csv.Error as error:
                    yield f"line {lines.number} of {path.name} is not valid CSV: {error}"
                    continue
                if record is None:
                    return
                if not record:
                    continue
                if header is None:
                    header = record
                    continue
                where = f"line {lines.number} of {path.name}"
                if len(record) != len(header):
                    yield f"{where} has {len(record)} fields, but the header has {len(header)}"
                elif not _is_utf8("".join(record)):
                    yield f"{where} is not UTF-8"
                else:
                    yield {name: cell or None for name, cell in zip(header, record, strict=True)}


class _CsvLines:
    """The lines of a text; one that is too long is skipped and an error in its place."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self.number = stream, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not (line := self._stream.readline(MAX_LINE)):
            raise StopIteration
        self.number += 1
        if len(line) == MAX_LINE and not line.endswith("\n"):
            while (rest := self._stream.readline(MAX_LINE)) and not rest.endswith("\n"):
                continue
            raise csv.Error(f"it is longer than {MAX_LINE} characters")
        return line


#: By suffix, in lower case.
FORMATS: dict[str, RowFormat] = {
    ".arrow": Arrow(),
    ".csv": Csv(),
    ".json": JsonArray(),
    ".jsonl": Jsonl(),
    ".parquet": Parquet(),
}


def form_of(name: str) -> RowFormat | None:
    """The format that a file's name promises; None = not a file of rows."""
    return FORMATS.get(PurePosixPath(name).suffix.lower())


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
