"""What ingesting a batch has to do, told from its captions and from what is stored. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from lance_assets.ingest.conversation import messages

#: What is compared of a stored row; `_rowaddr` is its place in the table.
STORED = ("id", "image_url", "messages", "caption_missing", "is_placeholder", "image_sha256", "_rowaddr")


@dataclass(frozen=True)
class Changes:
    """`write`: caption rows that go into new fragments, with the columns `load` (its image is to be had from where its
    caption says) and `address` (where the table holds an image of it, NULL = nowhere): a row with both keeps the stored
    one where the new one cannot be had. `gone`: fragments that these replace; `kept`: those that stay. `settled`: ids
    of rejects that stay as they are."""

    write: pa.Table
    gone: list[int]
    kept: list[int]
    settled: list[str]

    @property
    def nothing(self) -> bool:
        return not (self.write.num_rows or self.gone)


def changes(
    captions: pa.Table, stored: pa.Table, refused: pa.Table, again: Collection[str], refetched: Collection[str] = ()
) -> Changes:
    """Plans a batch from its captions (schema CAPTIONS), its stored rows (columns STORED) and its rejects.

    Untouched rows are neither fetched nor written, a row of which only the words changed keeps its image, a reject is
    tried again when its URL changed or its id is in `again`; ids in `refetched` have a new image at the old URL.
    """
    there = {row["id"]: row for row in stored.select(STORED).to_pylist()}
    rejects = dict(zip(refused["id"].to_pylist(), refused["image_url"].to_pylist(), strict=True))
    fresh: dict[str, bool] = {}
    settled: list[str] = []
    for row in captions.select(["id", "image_url", "problem", "caption", "messages", "caption_missing"]).to_pylist():
        old, id = there.get(row["id"]), row["id"]
        if old is None:
            if id in rejects and rejects[id] == row["image_url"] and id not in again:
                settled.append(id)
            else:
                fresh[id] = True
        elif row["image_url"] != old["image_url"] or id in refetched or (old["is_placeholder"] and id in again):
            fresh[id] = True
        elif words(row) != old["messages"] or row["caption_missing"] != old["caption_missing"]:
            fresh[id] = False
    wanted = set(captions["id"].to_pylist())
    dirty = {row["_rowaddr"] >> 32 for id, row in there.items() if id in fresh or id not in wanted}
    moved = {id for id, row in there.items() if row["_rowaddr"] >> 32 in dirty}
    return Changes(
        _written(captions, {id: fresh.get(id, False) for id in wanted if id in fresh or id in moved}, there),
        sorted(dirty),
        sorted({row["_rowaddr"] >> 32 for row in there.values()} - dirty),
        settled,
    )


def words(row: dict[str, Any]) -> list[dict[str, str]]:
    """The conversation of a caption row."""
    return row["messages"] or messages(row["caption"])


def _written(captions: pa.Table, load: dict[str, bool], there: dict[str, dict[str, Any]]) -> pa.Table:
    """The rows in caption order, with what is to be done about their images."""
    ids = captions["id"].to_pylist()
    rows = captions.filter(pa.array([id in load for id in ids], pa.bool_()))
    chosen = [id for id in ids if id in load]
    address = [there[id]["_rowaddr"] if id in there else None for id in chosen]
    rows = rows.append_column("load", pa.array([load[id] for id in chosen], pa.bool_()))
    return rows.append_column("address", pa.array(address, pa.uint64()))
