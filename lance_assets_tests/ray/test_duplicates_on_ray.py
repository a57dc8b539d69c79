"""Duplicates over a real Ray: hashes come back from the tasks, and copies are found in batches of before."""

import hashlib
import io

import pyarrow as pa
import pytest
from PIL import Image

from lance_assets.compute.duplicates import find_duplicates
from lance_assets.compute.duplicates_preview import duplicate_numbers, pairs_sheet
from lance_assets.scoring.duplicate import Duplicate
from lance_assets.store.batches import replace_batch, write_fragment
from lance_assets.store.duplicates import COLUMN
from lance_assets.store.schema import IMAGES
from lance_assets.store.table import ensure_images, open_images
from lance_assets_tests.pictures import scene
from lance_assets_tests.tables import image_rows

pytestmark = pytest.mark.usefixtures("joined")


def encoded(image, quality):
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def store(root, batch, *images):
    """One fragment per image."""
    ensure_images(root)
    parts = []
    for number, image in enumerate(images):
        [row] = image_rows(batch, 1, number).to_pylist()
        row |= {"image": image, "image_sha256": hashlib.sha256(image).hexdigest()}
        parts += write_fragment(root, iter([pa.RecordBatch.from_pylist([row], IMAGES)]))
    replace_batch(root, batch, parts, {})


def test_copies_of_real_pictures_are_found_across_batches(root, tmp_path):
    picture, other = scene(), scene().transpose(Image.Transpose.ROTATE_90)
    store(root, "a", encoded(picture, 95))
    store(root, "b", encoded(other, 95), encoded(picture, 60), encoded(picture, 95), b"broken")
    done = list(find_duplicates(root, ["a", "b"], Duplicate(), "run", lambda line: None, tmp_path / "cache"))
    assert [(one.batch, one.calls, one.failure) for one in done] == [("a", 1, None), ("b", 4, None)]
    cells = open_images(root).to_table(columns=["id", COLUMN], filter="batch = 'b'").to_pylist()
    assert [row[COLUMN] and row[COLUMN]["first"] for row in cells] == [None, "a/0", "a/0", None]
    numbers = duplicate_numbers(root, "b")
    assert {name: numbers[name] for name in ("rows", "exact", "near", "groups", "links_groups", "flat", "failed")} == {
        "rows": 4,
        "exact": 1,
        "near": 1,
        "groups": 2,
        "links_groups": 0,
        "flat": 0,
        "failed": 1,
    }
    assert numbers["distances"].tolist() == [cells[1][COLUMN]["distance"]] and numbers["null_fraction"] == 0.25
    sheet = pairs_sheet(root, done[1].pairs)
    assert sheet.count("**first**") == 2 and "bits from it**" in sheet and "**exact**" in sheet
