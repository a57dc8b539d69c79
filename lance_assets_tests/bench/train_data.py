"""The same pictures and captions as a Lance table, as JSON with image files and as Parquet, for `bench train`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pyarrow.parquet as pq

from lance_assets.store.schema import IMAGES
from lance_assets.store.table import STORAGE_VERSION
from lance_assets.training.launch import ENTRY
from lance_assets.training.rows import LanceRows
from lance_assets_tests.bench.photos import Kind, photo

SIDE = 256
KIND = Kind(SIDE, SIDE, 95, 200)
PROMPT = "<image>\nDescribe this image."
FRAGMENT = 2_500
WORDS = ("grass", "water", "stone", "sand", "tree", "path", "coal", "iron")


def caption(number: int) -> str:
    """Some twenty words, another text for each number."""
    seen = [WORDS[(number // len(WORDS) ** place) % len(WORDS)] for place in range(4)]
    return f"Picture {number} shows {seen[0]} beside {seen[1]}, behind them {seen[2]}, and in front of all {seen[3]}."


def messages(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": caption(number)}]


def write_lance(folder: Path, rows: int) -> LanceRows:
    """The platform's own table."""
    batches = pa.RecordBatchReader.from_batches(IMAGES, _batches(rows))
    dataset = lance.write_dataset(
        batches,
        str(folder / "images.lance"),
        data_storage_version=STORAGE_VERSION,
        enable_stable_row_ids=True,
        max_rows_per_file=FRAGMENT,
    )
    return LanceRows(dataset.uri, dataset.version, "NOT is_placeholder", rows)


def _batches(rows: int) -> Iterator[pa.RecordBatch]:
    for first in range(0, rows, 500):
        numbers = range(first, min(first + 500, rows))
        images = [photo(number, KIND) for number in numbers]
        columns: dict[str, Any] = {
            "id": [f"row-{number:06d}" for number in numbers],
            "batch": ["bench"] * len(numbers),
            "messages": [messages(number) for number in numbers],
            "image": images,
            "image_url": ["http://images.example/x"] * len(numbers),
            "image_sha256": [hashlib.sha256(image).hexdigest() for image in images],
            "width": [SIDE] * len(numbers),
            "height": [SIDE] * len(numbers),
            "format": ["JPEG"] * len(numbers),
            "caption_missing": [False] * len(numbers),
            "is_placeholder": [False] * len(numbers),
        }
        yield pa.record_batch(columns, schema=IMAGES)


def write_json(folder: Path, rows: int) -> dict[str, Any]:
    """What somebody without a reader exports: one file a picture and one JSON. Returns the entry of it."""
    (folder / "images").mkdir(parents=True)
    said = []
    for number in range(rows):
        name = f"images/{number:06d}.jpg"
        (folder / name).write_bytes(photo(number, KIND))
        said.append({"messages": messages(number), "image": [name]})
    (folder / "rows.json").write_text(json.dumps(said))
    return {"file_name": "rows.json", **ENTRY}


def write_parquet(folder: Path, rows: int) -> dict[str, Any]:
    """What somebody without a reader exports, too: one Parquet file with the bytes inside. Returns the entry of it."""
    folder.mkdir(parents=True)
    image = pa.list_(pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    schema = pa.schema({"messages": IMAGES.field("messages").type, "image": image})
    with pq.ParquetWriter(folder / "rows.parquet", schema) as writer:
        for first in range(0, rows, 500):
            numbers = range(first, min(first + 500, rows))
            images = [[{"bytes": photo(number, KIND), "path": None}] for number in numbers]
            table = pa.table({"messages": [messages(number) for number in numbers], "image": images}, schema=schema)
            writer.write_table(table)
    return {"file_name": "rows.parquet", **ENTRY}


def size(folder: Path) -> int:
    """Bytes of all files below a folder; 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
