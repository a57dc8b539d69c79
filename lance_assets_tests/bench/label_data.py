"""The images of one case of `bench label`, stored three times: as the platform stores them, in the Lance table that
somebody makes without thinking of it, and as Parquet files."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from lance.fragment import write_fragments

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


def build(images: Images, folder: Path) -> None:
    """Makes `platform` (a data root), `guide.lance` and `parquet` in an empty folder; memory is a fragment."""
    root, parquet = DataRoot(folder / "platform"), folder / "parquet"
    ensure_images(root)
    parquet.mkdir()
    naive = lance.write_dataset(_naive(IMAGES.empty_table()), folder / "guide.lance")
    others = []
    for name, start in zip(images.batches(), range(0, images.count, images.batch), strict=True):
        end = min(start + images.batch, images.count)
        size, fragments = rows_per_fragment(end - start), []
        with pq.ParquetWriter(parquet / f"{name}.parquet", IMAGES.remove_metadata(), **PARQUET) as writer:
            for first in range(start, end, size):
                rows = _rows(images.kind, name, first, min(first + size, end))
                fragments += write_fragment(root, iter([rows]))
                table = pa.Table.from_batches([rows])
                writer.write_table(table, row_group_size=GROUP)
                others += write_fragments(_naive(table), naive, mode="append")
        replace_batch(root, name, fragments, {})
    lance.LanceDataset.commit(naive, lance.LanceOperation.Append(others), read_version=naive.version)


def linked(source: Path, target: Path) -> None:
    """A copy of a folder that shares its files: Lance never changes one."""
    shutil.copytree(source, target, copy_function=os.link)


def _naive(table: pa.Table) -> pa.Table:
    """Without the encoding of images that the platform asks for."""
    return table.cast(pa.schema([field.remove_metadata() for field in IMAGES]))


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
