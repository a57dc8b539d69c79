"""The images of one case of `bench label`, stored three times: as the platform stores them, in the Lance table that
somebody makes without thinking of it, and as Parquet files."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from lance.fragment import FragmentMetadata, write_fragments

from lance_assets.compute.ingest import rows_per_fragment
from lance_assets.settings import PRODUCTION_BATCH
from lance_assets.store.batches import replace_batch, write_fragment
from lance_assets.store.files import DataRoot
from lance_assets.store.schema import IMAGES
from lance_assets.store.table import ensure_images
from lance_assets_tests.bench.photos import Kind, photo

SMALL, LARGE = Kind(320, 240, 86, 200), Kind(1024, 768, 82, 40)
#: Images differ by less than so many bytes in length, so that a scorer of lengths tells one from the other.
PADDING = 997
#: How images are best kept in Parquet files: they neither compress nor repeat, and trying costs time.
PARQUET = {"compression": "none", "use_dictionary": False}
#: Rows of a Parquet row group.
GROUP = 1000
#: Names of what images are stored as.
FORMS = PLATFORM, GUIDE, PARQUET_FILES = "platform", "guide.lance", "parquet"
SOURCE = "bench"


@dataclass(frozen=True)
class Images:
    """So many pictures of a kind, in batches and fragments as production has them."""

    count: int
    kind: Kind
    batch: int = PRODUCTION_BATCH

    def batches(self) -> list[str]:
        """Keys of the batches."""
        return [key(start, min(start + self.batch, self.count)) for start in range(0, self.count, self.batch)]


def key(start: int, end: int) -> str:
    return f"{SOURCE}-00000000-{start}-{end}"


def build(images: Images, folder: Path, forms: Collection[str] = FORMS) -> None:
    """Makes `forms` in an empty folder; memory is a batch."""
    writers = [_WRITERS[form](folder / form) for form in forms]
    for name, start in zip(images.batches(), range(0, images.count, images.batch), strict=True):
        end = min(start + images.batch, images.count)
        size = rows_per_fragment(end - start)
        for first in range(start, end, size):
            rows = _rows(images.kind, name, first, min(first + size, end))
            for writer in writers:
                writer.write(rows)
        for writer in writers:
            writer.finish_batch(name)


class _Platform:
    """A data root."""

    def __init__(self, place: Path) -> None:
        self.root, self.fragments = DataRoot(place), list[str]()
        ensure_images(self.root)

    def write(self, rows: pa.RecordBatch) -> None:
        self.fragments += write_fragment(self.root, iter([rows]))

    def finish_batch(self, name: str) -> None:
        replace_batch(self.root, name, self.fragments, {})
        self.fragments = []


class _Guide:
    """A table without the encoding of images that the platform asks for, with the same fragments."""

    def __init__(self, place: Path) -> None:
        self.schema = pa.schema([field.remove_metadata() for field in IMAGES])
        self.dataset = lance.write_dataset(self.schema.empty_table(), place)
        self.fragments: list[FragmentMetadata] = []

    def write(self, rows: pa.RecordBatch) -> None:
        written = write_fragments(pa.Table.from_batches([rows]).cast(self.schema), self.dataset, mode="append")
        self.fragments += written if isinstance(written, list) else []

    def finish_batch(self, name: str) -> None:
        append = lance.LanceOperation.Append(self.fragments)
        self.dataset = lance.LanceDataset.commit(self.dataset, append, read_version=self.dataset.version)
        self.fragments = []


class _Parquet:
    """A file for each batch."""

    def __init__(self, place: Path) -> None:
        self.place, self.rows = place, list[pa.RecordBatch]()
        place.mkdir(parents=True)

    def write(self, rows: pa.RecordBatch) -> None:
        self.rows.append(rows)

    def finish_batch(self, name: str) -> None:
        table = pa.Table.from_batches(self.rows).replace_schema_metadata()
        pq.write_table(table, self.place / f"{name}.parquet", row_group_size=GROUP, **PARQUET)
        self.rows = []


_WRITERS = {PLATFORM: _Platform, GUIDE: _Guide, PARQUET_FILES: _Parquet}


def linked(source: Path, target: Path) -> None:
    """A copy of a folder that shares its files: Lance never changes one."""
    shutil.copytree(source, target, copy_function=os.link)


def _rows(kind: Kind, batch: str, first: int, end: int) -> pa.RecordBatch:
    numbers = range(first, end)
    pictures = [photo(number, kind, number * 37 % PADDING) for number in numbers]
    messages = [{"role": "user", "content": "<image>Describe it."}, {"role": "assistant", "content": "A picture."}]
    columns = {
        "id": [f"{SOURCE}/{number:09d}" for number in numbers],
        "batch": [batch] * len(numbers),
        "messages": [messages] * len(numbers),
        "image": pictures,
        "image_url": [f"http://127.0.0.1/{number}.jpg" for number in numbers],
        "image_sha256": [hashlib.sha256(picture).hexdigest() for picture in pictures],
        "width": np.full(len(numbers), kind.width),
        "height": np.full(len(numbers), kind.height),
        "format": ["JPEG"] * len(numbers),
        "caption_missing": [False] * len(numbers),
        "is_placeholder": [False] * len(numbers),
    }
    return pa.record_batch([pa.array(columns[field.name], field.type) for field in IMAGES], schema=IMAGES)
