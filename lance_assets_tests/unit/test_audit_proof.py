"""The rows of a checkpoint, proven or missed, on the store's own tables."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from lance_assets.audit.proof import prove
from lance_assets.store.cleanup import cleanup
from lance_assets.store.compact import compact
from lance_assets.store.files import DataRoot
from lance_assets.store.selection import pin
from lance_assets.store.table import open_images
from lance_assets_tests.labels import SHARP, Labeller
from lance_assets_tests.tables import add_batch, picture

ROWS = 24


@pytest.fixture
def root(tmp_path) -> DataRoot:
    root = DataRoot(tmp_path / "data")
    add_batch(root, "a", ROWS, fragments=3)
    return root


@pytest.fixture
def manifest(root) -> dict[str, Any]:
    return pin(root, None, 0.3, [])


def test_rows_stay_the_same_while_labels_rows_and_fragments_change(root, manifest) -> None:
    Labeller(root)("a", SHARP)
    add_batch(root, "b", 5, first=100)
    compact(root)
    cleanup(root, timedelta(0))
    proof = prove(manifest)
    assert (proof.gone, proof.restored) == ([], [])
    assert proof.rows == manifest["rows"]
    assert proof.images == ROWS
    assert proof.image_bytes == sum(len(picture(seed)) for seed in range(ROWS))


def test_a_deleted_tag_and_manifest_are_restored_while_the_version_is_there(root, manifest) -> None:
    open_images(root).tags.delete(manifest["tag"])
    stored = root.folder / "manifests" / f"{manifest['tag']}.json"
    stored.unlink()
    proof = prove(manifest)
    assert not proof.gone
    assert [line.partition(",")[0][:12] for line in proof.restored] == ["the tag sft-", "the manifest"]
    assert open_images(root).tags.list()[manifest["tag"]]["version"] == manifest["version"]
    assert json.loads(stored.read_text()) == manifest
    assert prove(manifest).restored == []


def test_where_the_version_is_gone_the_newest_stands_in_if_it_has_the_same_rows(root, manifest) -> None:
    open_images(root).tags.delete(manifest["tag"])
    Labeller(root)("a", SHARP)
    cleanup(root, timedelta(0))
    proof = prove(manifest)
    assert not proof.gone
    assert proof.version == open_images(root).version != manifest["version"]
    assert f"version {manifest['version']} of {root.images} is gone" in proof.restored[0]


def test_what_is_gone_is_said_in_sentences(root, manifest) -> None:
    open_images(root).tags.delete(manifest["tag"])
    add_batch(root, "a", ROWS - 4, fragments=2)
    cleanup(root, timedelta(0))
    rows = {"side": "train", "image_sha256": "0" * 64}
    kept = pa.Table.from_pylist([{**rows, "id": f"a/{n}"} for n in range(18, ROWS)])
    gone = prove(manifest, kept).gone
    assert "is gone: its tag was deleted, then it was cleaned up" in gone[0]
    assert any("filter selects" in line and "the manifest names" in line for line in gone[1:])
    assert gone[-2:] == [
        "4 of the 6 rows are gone from the table: a/20, a/21, a/22, a/23",
        "2 of the 6 rows have another image now: a/18, a/19",
    ]
    assert prove(manifest).gone == gone[:-2]


def test_other_words_or_another_digest_in_the_same_number_of_rows_are_noticed(root, manifest) -> None:
    other = {**manifest, "row_ids_sha256": {**manifest["row_ids_sha256"], "train": "0" * 64}}
    (line,) = prove(other).gone
    assert line.startswith(f"the {manifest['rows']['train']} train rows have other ids, image digests or messages")


def test_a_damaged_image_is_named_by_its_row(root) -> None:
    dataset = open_images(root)
    table = dataset.to_table(columns=["id", "image_sha256"], filter="id = 'a/3'").set_column(
        1, "image_sha256", [["f" * 64]]
    )
    dataset.merge_insert("id").when_matched_update_all().execute(table)
    proof = prove(pin(root, None, 0.3, []))
    assert proof.gone == ["the stored image has another digest in row a/3"]


def test_a_table_that_is_gone_is_named(tmp_path) -> None:
    manifest = {"uri": str(tmp_path / "images.lance"), "version": 1, "tag": "sft-x"}
    assert prove(manifest).gone == [f"the table {tmp_path}/images.lance is gone"]
