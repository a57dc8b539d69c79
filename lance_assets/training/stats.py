"""What the reader read, written down as it happens: one JSON line per scan or fetch, appended.

Lines survive a killed process and come from several processes (data-loader workers) without getting in each other's
way: a line is far below the size up to which an append is one write.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypedDict

VARIABLE = "LANCE_ASSETS_READER_STATS"


class ReaderStats(TypedDict):
    """Bytes are those that Lance read from storage (its io_stats), page overhead included."""

    columns: list[str]
    rows: int
    text_bytes: int
    image_bytes: int
    images_fetched: int


def note(**event: Any) -> None:
    """Appends one event to the file that the environment names; without one, nothing is recorded."""
    target = os.environ.get(VARIABLE)
    if not target:
        return
    with Path(target).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(event) + "\n")


def read_stats(path: Path) -> ReaderStats:
    """Sums the events of one training; all zero where nothing was read from Lance."""
    total = ReaderStats(columns=[], rows=0, text_bytes=0, image_bytes=0, images_fetched=0)
    for line in path.read_text().splitlines() if path.exists() else []:
        event = json.loads(line)
        total["columns"] = sorted({*total["columns"], *event["columns"]})
        total["rows"] += event.get("rows", 0)
        total["images_fetched"] += event.get("images", 0)
        total["image_bytes" if "images" in event else "text_bytes"] += event["bytes"]
    return total
