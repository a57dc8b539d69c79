"""What was said about the right to use a row's image, each time that it was asked for."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from lance_assets.audit.text import shown, when
from lance_assets.store.files import DataRoot
from lance_assets.store.rights import rights_history


def row_rights(root: DataRoot, batch: str, id: str) -> list[dict[str, Any]]:
    """Rows of schema RIGHTS about one row, oldest first, times as text."""
    rows = rights_history(root, batch).filter(pc.field("id") == id).drop_columns(["id"]).to_pylist()
    return [row | {"time": when(row["time"])} for row in rows]


def rights_words(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """One line each, labelled, for people."""
    return [("asked" if number == 0 else "", _line(row)) for number, row in enumerate(rows)]


def _line(row: dict[str, Any]) -> str:
    facts = [
        f"{row['time']}: {row['reason'] or 'the image came' if row['status'] != 304 else 'still the same'}",
        f"status {row['status']}" if row["status"] else "",
        f"from {shown(row['final_url'], 120)}" if row["final_url"] and row["final_url"] != row["url"] else "",
        f"opt-out: {shown(row['opt_out'], 120)}" if row["opt_out"] else "",
        f"licence {shown(row['licence'], 60)}" if row["licence"] else "",
        f"EXIF orientation {row['orientation']}" if (row["orientation"] or 1) != 1 else "",
        "location stripped" if row["location_stripped"] else "",
    ]
    return ", ".join(fact for fact in facts if fact)
