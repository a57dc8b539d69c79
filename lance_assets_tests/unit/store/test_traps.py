"""What the calls of Lance do to a table of images and labels (measured with pylance 14), and how the store keeps clear
of it. Each test shows the way of Lance first."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lance_assets.store.batches import MixedFragment
from lance_assets.store.table import ensure_images, open_images
from lance_assets.store.verify import verify
from lance_assets_tests.labels import SHARP, Labeller
from lance_assets_tests.tables import add_batch
from lance_assets_tests.unit.store import scenes

SCORE = SHARP.column


def test_general_compaction_mixes_batches_and_such_a_fragment_is_never_replaced(root):
    add_batch(root, "a", 4)
    add_batch(root, "b", 4)
    open_images(root).optimize.compact_files()
    assert len(open_images(root).get_fragments()) == 1
    assert {problem.kind for problem in verify(root).problems} == {"mixed"}
    with pytest.raises(MixedFragment, match="rows of batch a and of another"):
        scenes.store(root, "a", scenes.numbered(4, first=50))
    assert open_images(root).count_rows() == 8


def test_adding_a_column_with_values_works_once_and_ours_fills_it_batch_by_batch(root):
    add_batch(root, "a", 4)
    open_images(root).add_columns({SCORE: "1.0"})
    with pytest.raises(OSError, match="already exists"):
        open_images(root).add_columns({SCORE: "2.0"})
    open_images(root).drop_columns([SCORE])
    labeller = Labeller(root)
    for batch in ("a", "b"):
        add_batch(root, batch, 4)
        labeller(batch, SHARP)
    assert labeller.rows == 8 and scenes.values(root, SCORE) == scenes.right(root, SHARP)[SCORE]


def test_merge_insert_keeps_the_label_of_another_image_and_replacing_the_batch_does_not(root):
    scenes.store(root, "a", scenes.numbered(4))
    Labeller(root)("a", SHARP)
    changed = pa.Table.from_batches([scenes.rows_of("a", [scenes.Row(1, image=9)])])
    dataset = open_images(root)
    old = dataset.to_table(columns=["id", SCORE], filter="id = 'a/1'")[SCORE].to_pylist()
    dataset.merge_insert("id").when_matched_update_all().execute(changed.select(["id", "image_sha256"]))
    dataset = open_images(root)
    assert dataset.to_table(columns=["id", SCORE], filter="id = 'a/1'")[SCORE].to_pylist() == old
    scenes.store(root, "b", scenes.numbered(4))
    Labeller(root)("b", SHARP)
    scenes.store(root, "b", [scenes.Row(0), scenes.Row(1, image=9), scenes.Row(2), scenes.Row(3)])
    assert [row for row, state in scenes.states(root, SCORE).items() if state is None] == ["b/1"]


def test_a_new_table_has_the_file_version_and_the_row_ids_that_all_this_was_measured_with(root):
    dataset = ensure_images(root)
    assert dataset.data_storage_version == "2.1" and dataset.has_stable_row_ids


def test_cells_that_are_deleted_behind_our_back_keep_the_others_in_their_place(root):
    add_batch(root, "a", 10)
    open_images(root).delete("id IN ('a/3', 'a/7')")
    labeller = Labeller(root)
    labeller("a", SHARP)
    assert labeller.rows == 8
    assert scenes.values(root, SCORE) == scenes.right(root, SHARP)[SCORE]
