"""A small table of colour squares in the platform's format, shared by the training tests."""

from __future__ import annotations

import hashlib
import io
import random
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
from PIL import Image

from lance_assets.store.schema import IMAGES
from lance_assets.store.table import STORAGE_VERSION

COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 220), "yellow": (220, 220, 20)}
PROMPT = "<image>\nWhich colour is this?"


def square(colour: str, shade: int) -> bytes:
    """A PNG of 64 x 64 pixels; the shade keeps every picture different."""
    sink = io.BytesIO()
    red, green, blue = COLOURS[colour]
    Image.new("RGB", (64, 64), (red, green, max(0, blue - shade))).save(sink, "PNG")
    return sink.getvalue()


def write_squares(folder: Path | str, rows: int, heavy_bytes: int = 0, shuffled: bool = False) -> lance.LanceDataset:
    """`rows` squares in fragments of eight; `heavy_bytes` per row go into a column that no training needs. With
    `shuffled` the captions are those of other squares."""
    names = [list(COLOURS)[i % len(COLOURS)] for i in range(rows)]
    said = random.Random(0).sample(names, rows) if shuffled else names
    images = [square(name, i // len(COLOURS)) for i, name in enumerate(names)]
    table = pa.table(
        {
            "id": [f"row-{i:04d}" for i in range(rows)],
            "batch": ["squares"] * rows,
            "messages": [
                [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": f"The square is {name}."}]
                for name in said
            ],
            "image": pa.array(images, pa.large_binary()),
            "image_url": ["http://images.example/x"] * rows,
            "image_sha256": [hashlib.sha256(image).hexdigest() for image in images],
            "width": [64] * rows,
            "height": [64] * rows,
            "format": ["PNG"] * rows,
            "caption_missing": [False] * rows,
            "is_placeholder": [False] * rows,
        },
        schema=IMAGES,
    )
    if heavy_bytes:
        noise = [hashlib.shake_128(str(i).encode()).digest(heavy_bytes) for i in range(rows)]
        table = table.append_column("heavy", pa.array(noise, pa.large_binary()))
    return lance.write_dataset(
        table,
        str(folder),
        data_storage_version=STORAGE_VERSION,
        enable_stable_row_ids=True,
        max_rows_per_file=8,
    )


def manifest_of(dataset: lance.LanceDataset, test_rows: int) -> dict[str, Any]:
    """A manifest that holds the first `test_rows` rows out."""
    first = f"'row-{test_rows:04d}'"
    return {
        "uri": dataset.uri,
        "version": dataset.version,
        "tag": "sft-test",
        "filter": None,
        "train": f"id >= {first}",
        "test": f"id < {first}",
        "rows": {"train": dataset.count_rows() - test_rows, "test": test_rows},
        "row_ids_sha256": {},
    }


def row_ids(dataset: lance.LanceDataset) -> list[int]:
    """The stable ones that Lance gives, in the order of the table."""
    return dataset.scanner(columns=["id"], with_row_id=True).to_table()["_rowid"].to_pylist()
