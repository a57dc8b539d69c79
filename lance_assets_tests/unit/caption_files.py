"""Files of captions in the common formats, and what a source makes of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.sources.base import Columns, RawRow
from lance_assets.sources.files import FilesSource


def rows_of(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"opensource_url": f"http://h/{n}.jpg", "global_caption": f"c {n}"} for n in range(start, start + count)]


def write(path: Path, rows: list[dict[str, Any]], group: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=group)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def source(spec: Path | str, **columns: str) -> FilesSource:
    return FilesSource("s", str(spec), Columns(**columns))


def all_rows(spec: Path | str, **columns: str) -> list[RawRow]:
    found = source(spec, **columns)
    return [row for file in found.files() for row in found.read(file, 0, file.rows)]
