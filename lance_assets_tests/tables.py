"""Small real Lance tables for tests."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pyarrow as pa
from PIL import Image

from lance_assets.store.batches import replace_batch, write_fragment
from lance_assets.store.files import DataRoot
from lance_assets.store.schema import IMAGES
from lance_assets.store.table import ensure_images


def picture(seed: int, side: int = 32) -> bytes:
    """A small JPEG, another one for each seed."""
    pixels = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).resize((side, side)).save(sink, "JPEG")
    return sink.getvalue()


def image_rows(batch: str, rows: int, first: int = 0) -> pa.RecordBatch:
    """Rows of schema IMAGES with real pictures and captions."""
    images = [picture(seed) for seed in range(first, first + rows)]
    columns = {
        "id": [f"{batch}/{number}" for number in range(first, first + rows)],
        "batch": [batch] * rows,
        "messages": [
            [{"role": "user", "content": "<image>Describe it."}, {"role": "assistant", "content": f"Picture {n}."}]
            for n in range(first, first + rows)
        ],
        "image": images,
        "image_url": [f"http://example.org/{n}.jpg" for n in range(first, first + rows)],
        "image_sha256": [hashlib.sha256(image).hexdigest() for image in images],
        "width": [32] * rows,
        "height": [32] * rows,
        "format": ["JPEG"] * rows,
        "caption_missing": [False] * rows,
        "is_placeholder": [False] * rows,
    }
    return pa.record_batch(columns, schema=IMAGES)


def add_batch(root: DataRoot, batch: str, rows: int, first: int = 0, fragments: int = 1) -> None:
    """Stores a batch in so many fragments."""
    ensure_images(root)
    size = -(-rows // fragments)
    parts = [
        write_fragment(root, iter([image_rows(batch, min(size, rows - start), first + start)]))
        for start in range(0, rows, size)
    ]
    replace_batch(root, batch, [fragment for part in parts for fragment in part], {"test": "yes"})
