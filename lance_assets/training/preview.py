"""What the Web UI shows of a Lance entry: a page of rows, and their images."""

from __future__ import annotations

import base64
import os
from io import BytesIO
from typing import Any

from lance_assets.training import rows
from lance_assets.training.pictures import opened

SIDE = 256


def page(source: rows.LanceRows, entry: dict[str, Any], offset: int, limit: int) -> tuple[int, list[dict[str, Any]]]:
    """The number of rows, and some of them with the version and filter that chose them. Raises BadInput."""
    shown = _page(source, entry, offset, limit).drop_columns(["_rowid"]).to_pylist()
    count = rows.open_version(source.uri, source.version, os.getpid()).count_rows(source.filter)
    return count, [{"version": source.version, "filter": source.filter, **row} for row in shown]


def pictures(source: rows.LanceRows, entry: dict[str, Any], offset: int, limit: int) -> str:
    """HTML with the images of the same rows, small, inside the text: no file is written for them. Raises BadInput."""
    column = entry.get("columns", {}).get("images")
    ids = _page(source, entry, offset, limit)["_rowid"].to_pylist()
    if not column or not ids:
        return ""
    tags = []
    for many in rows.fetch(source.uri, source.version, column, ids)[0]:
        for data in many:
            picture = opened(data).convert("RGB")
            picture.thumbnail((SIDE, SIDE))
            sink = BytesIO()
            picture.save(sink, "JPEG")
            code = base64.b64encode(sink.getvalue()).decode()
            tags.append(f'<img alt="image of a row" src="data:image/jpeg;base64,{code}">')
    return " ".join(tags)


def _page(source: rows.LanceRows, entry: dict[str, Any], offset: int, limit: int) -> Any:
    """The entry's text columns of some rows, in table order."""
    columns: dict[str, str] = entry.get("columns", {})
    text = [column for role, column in columns.items() if role != "images"] or ["messages"]
    table = rows.open_version(source.uri, source.version, os.getpid())
    known = source.columns or {}
    made: dict[str, str] = {name: known.get(name, name) for name in text}
    return table.scanner(columns=made, filter=source.filter, offset=offset, limit=limit, with_row_id=True).to_table()
