"""What the reader read, written down as it happens: one JSON line per scan, fetch or batch, appended.

Lines survive a killed process and come from several processes (data-loader workers) without getting in each other's
way: a line is far below the size up to which an append is one write.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict

VARIABLE = "LANCE_ASSETS_READER_STATS"
MODULUS = 1 << 64


class Seen(TypedDict):
    """Rows of one data set that were collated into batches, each as often as it was; the loader is ahead of the model,
    so where a training ends within an epoch, the last few were not trained on. `checksum` is that of the row ids."""

    rows: int
    checksum: str


class ReaderStats(TypedDict):
    """Bytes are those that Lance read from storage (its io_stats), page overhead included. `seen` is by data set."""

    columns: list[str]
    rows: int
    text_bytes: int
    image_bytes: int
    images_fetched: int
    seen: dict[str, Seen]


def note(**event: Any) -> None:
    """Appends one event to the file that the environment names; without one, nothing is recorded."""
    target = os.environ.get(VARIABLE)
    if not target:
        return
    with Path(target).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(event) + "\n")


def checksum(row_ids: Iterable[int]) -> int:
    """Of many row ids, in whatever order: the sum of their hashes modulo 2^64, so parts can be added up and a row that
    came twice counts twice."""
    hashes = (hashlib.blake2b(str(row).encode(), digest_size=8).digest() for row in row_ids)
    return sum(int.from_bytes(one, "big") for one in hashes) % MODULUS


def read_stats(path: Path) -> ReaderStats:
    """Sums the events of one training; all zero where nothing was read from Lance."""
    total = ReaderStats(columns=[], rows=0, text_bytes=0, image_bytes=0, images_fetched=0, seen={})
    seen: dict[str, tuple[int, int]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        event = json.loads(line)
        for name, (rows, added) in event.get("seen", {}).items():
            before = seen.get(name, (0, 0))
            seen[name] = (before[0] + rows, (before[1] + added) % MODULUS)
        if "bytes" not in event:
            continue
        total["columns"] = sorted({*total["columns"], *event["columns"]})
        total["rows"] += event.get("rows", 0)
        total["images_fetched"] += event.get("images", 0)
        total["image_bytes" if "images" in event else "text_bytes"] += event["bytes"]
    total["seen"] = {name: Seen(rows=rows, checksum=f"{added:016x}") for name, (rows, added) in seen.items()}
    return total
