"""Frames of the demo's game as a table of the platform, split by seed, for `bench screen`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa

from lance_assets.sources.demo.game import PIXELS, Frame, play
from lance_assets.store.schema import IMAGES
from lance_assets.store.table import STORAGE_VERSION

PROMPT = "<image>\nDescribe this image."
#: Seed of the frames by side; another seed is another world.
SEEDS = {"train": 0, "test": 1}


def write(folder: Path, train: int, test: int) -> tuple[dict[str, Any], list[str]]:
    """Plays, writes <folder>/images.lance and returns the manifest of both sides and the captions of the train side."""
    frames = {side: list(play(count, SEEDS[side])) for side, count in (("train", train), ("test", test))}
    rows = pa.RecordBatchReader.from_batches(IMAGES, (_batch(side, found) for side, found in frames.items()))
    dataset = lance.write_dataset(
        rows, str(folder / "images.lance"), data_storage_version=STORAGE_VERSION, enable_stable_row_ids=True
    )
    manifest = {
        "uri": dataset.uri,
        "version": dataset.version,
        "tag": "screen",
        "filter": None,
        "rows": {side: len(found) for side, found in frames.items()},
        **{side: f"batch = '{_key(side)}'" for side in frames},
    }
    return manifest, [frame.caption for frame in frames["train"]]


def _key(side: str) -> str:
    return f"demo-{SEEDS[side]:08x}"


def _batch(side: str, frames: list[Frame]) -> pa.RecordBatch:
    count = len(frames)
    columns: dict[str, Any] = {
        "id": [f"{_key(side)}/{number}" for number in range(count)],
        "batch": [_key(side)] * count,
        "messages": [list(_messages(frame)) for frame in frames],
        "image": [frame.jpeg for frame in frames],
        "image_url": ["http://images.example/x"] * count,
        "image_sha256": [hashlib.sha256(frame.jpeg).hexdigest() for frame in frames],
        "width": [PIXELS] * count,
        "height": [PIXELS] * count,
        "format": ["JPEG"] * count,
        "caption_missing": [False] * count,
        "is_placeholder": [False] * count,
    }
    return pa.record_batch(columns, schema=IMAGES)


def _messages(frame: Frame) -> Iterator[dict[str, str]]:
    yield {"role": "user", "content": PROMPT}
    yield {"role": "assistant", "content": frame.caption}
