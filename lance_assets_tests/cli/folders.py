"""Folders of captions as people have them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.store.files import DataRoot


def write_jsonl(path: Path, rows: Sequence[dict[str, Any] | str]) -> None:
    """One line a row; a string is written as it is, so that lines can be broken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))


def write_parquet(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


def caption(number: int) -> str:
    return f"A pattern of squares in many colours, picture number {number}."


def row(url: str, number: int) -> dict[str, Any]:
    return {"opensource_url": url, "global_caption": caption(number)}


def image_files(home: Path) -> dict[str, str]:
    """sha256 of every data file of the image table."""
    folder = Path(DataRoot(home / "data").images) / "data"
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def untouched(before: dict[str, str], after: dict[str, str]) -> bool:
    """Whether every file is still there with the same bytes."""
    return bool(before) and before.items() <= after.items()


def everything_under(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below; None stands for what is no file of its own: a folder, a link."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    return {
        name: path.read_bytes() if path.is_file() and not path.is_symlink() else None for name, path in found.items()
    }
