"""The folders and files that Hugging Face's `datasets` writes and reads, as sources."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from lance_assets.sources.base import Columns
from lance_assets.sources.files import FilesSource
from lance_assets_tests.unit.arrow_files import write_stream


def png(number: int) -> bytes:
    sink = BytesIO()
    Image.new("RGB", (20, 20), (number, 0, 0)).save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture(scope="module")
def loaded() -> Any:
    """A data set of `datasets` with pictures."""
    datasets = pytest.importorskip("datasets")
    rows = {"image": [{"bytes": png(n), "path": None} for n in range(6)], "text": [f"c {n}" for n in range(6)]}
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    return datasets.Dataset.from_dict(rows, features=features)


def test_what_save_to_disk_writes_is_a_source(tmp_path: Path, loaded: Any) -> None:
    import datasets

    splits = datasets.DatasetDict({"train": loaded.select(range(4)), "test": loaded.select(range(4, 6))})
    splits.save_to_disk(str(tmp_path / "set"), num_shards={"train": 2, "test": 1})
    write_stream(tmp_path / "set" / "train" / "cache-0123.arrow", pa.table({"x": [1]}))
    source = FilesSource("s", str(tmp_path / "set"), Columns())
    files = list(source.files())
    assert [file.path for file in files] == [
        "test/data-00000-of-00001.arrow",
        "train/data-00000-of-00002.arrow",
        "train/data-00001-of-00002.arrow",
    ]
    rows = [row for file in files for row in source.read(file, 0, file.rows)]
    assert [row.caption for row in rows] == ["c 4", "c 5", "c 0", "c 1", "c 2", "c 3"]
    assert [data for file in files for data in source.images(file, range(2))] == [png(n) for n in (4, 5, 0, 1, 2, 3)]


def test_parquet_with_image_features_is_a_source(tmp_path: Path, loaded: Any) -> None:
    loaded.to_parquet(tmp_path / "x.parquet", batch_size=4)
    source = FilesSource("s", str(tmp_path), Columns())
    [file] = source.files()
    assert [(row.caption, row.embedded) for row in source.read(file, 0, 6)] == [(f"c {n}", True) for n in range(6)]
    assert list(source.images(file, [1, 5])) == [png(1), png(5)]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_paths_of_an_imagefolder_start_at_their_metadata_file(tmp_path: Path, kind: str) -> None:
    for split in ("train", "test"):
        folder = tmp_path / split
        folder.mkdir()
        (folder / "0.png").write_bytes(png(0))
        rows = [("0.png", "zero"), ("sub/1.png", "one"), ("/abs.png", "two"), ("http://h/3.png", "three")]
        if kind == "csv":
            text = "file_name,text\n" + "".join(f"{name},{caption}\n" for name, caption in rows)
        else:
            text = "".join(json.dumps({"file_name": name, "text": caption}) + "\n" for name, caption in rows)
        (folder / f"metadata.{kind}").write_text(text)
    source = FilesSource("s", str(tmp_path), Columns())
    rows = [row.image for file in source.files() for row in source.read(file, 0, file.rows)]
    names = ("0.png", "sub/1.png")
    assert rows == [
        name
        for split in ("test", "train")
        for name in (*(f"{split}/{one}" for one in names), "/abs.png", "http://h/3.png")
    ]
    assert source.image_roots() == (tmp_path,)
