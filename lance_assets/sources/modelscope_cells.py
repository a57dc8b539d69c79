"""Rows of a text file (csv, jsonl) kept as parquet, so that reading from row n on does not read the rows before."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.sources.base import Columns
from lance_assets.sources.formats import FORMATS, MAX_LINE

SCHEMA = pa.schema([pa.field("cells", pa.string()), pa.field("problem", pa.string())])
"""A row's cells as a JSON object, or what is wrong with the row."""
NAMES = b"columns"
ROWS, CHARS = 1000, 8_000_000
"""A row group ends at either."""


def keep_cells(text: Path, out: Path) -> None:
    """Reads a file once, as a files: source would read it, and writes its rows to `out`, which appears at once."""
    csv.field_size_limit(MAX_LINE)  # a cap_seg may be longer than the 131,072 characters that csv takes by default
    draft, names = out.with_name(f"{out.name}.tmp"), dict[str, None]()
    with pq.ParquetWriter(draft, SCHEMA, compression="zstd") as writer:
        group: list[dict[str, str]] = []
        chars = 0
        for cells in FORMATS[text.suffix.lower()].rows(text, 0, Columns()):
            if isinstance(cells, str):
                group.append({"problem": cells})
            else:
                names.update(dict.fromkeys(cells))
                group.append({"cells": json.dumps(cells)})
                chars += len(group[-1]["cells"])
            if len(group) == ROWS or chars > CHARS:
                writer.write_table(pa.Table.from_pylist(group, SCHEMA))
                group, chars = [], 0
        writer.write_table(pa.Table.from_pylist(group, SCHEMA))
        writer.add_key_value_metadata({NAMES.decode(): json.dumps(list(names))})
    draft.replace(out)


def survey_cells(path: Path) -> tuple[int, set[str]]:
    """(number of rows, names of all columns) of a file that keep_cells wrote."""
    with pq.ParquetFile(path) as file:
        return file.metadata.num_rows, set(json.loads((file.metadata.metadata or {})[NAMES]))


def read_cells(path: Path, first: int, end: int) -> Iterator[dict[str, Any] | str]:
    """Rows [first, end): cells by column name, or what is wrong with the row."""
    with pq.ParquetFile(path) as file:
        row = 0
        for number in range(file.metadata.num_row_groups):
            rows = file.metadata.row_group(number).num_rows
            if row + rows > first and row < end:
                group = file.read_row_group(number)
                for cells, problem in zip(*(column.to_pylist() for column in group.columns), strict=True):
                    if first <= row < end:
                        yield problem if cells is None else json.loads(cells)
                    row += 1
            else:
                row += rows
