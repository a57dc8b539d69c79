"""Compaction merges the fragments of one batch: images, labels and row ids stay, nothing becomes stale."""

import dataclasses
import hashlib
import json

import pytest

from lance_assets.store import ledger
from lance_assets.store.compact import compact
from lance_assets.store.fragments import fragment_at
from lance_assets.store.staleness import stale_cells
from lance_assets.store.table import batch_fragments, open_images
from lance_assets.store.verify import verify
from lance_assets_tests.labels import SHARP, WORDS, Labeller
from lance_assets_tests.tables import add_batch


def rows(root):
    """Everything but row addresses, by id; images proved by their digests."""
    dataset = open_images(root)
    table = dataset.scanner(
        columns=dataset.schema.names, with_row_id=True, blob_handling="all_binary", scan_in_order=True
    ).to_table()
    for image, digest in zip(table["image"].to_pylist(), table["image_sha256"].to_pylist(), strict=True):
        assert hashlib.sha256(image).hexdigest() == digest
    return table.sort_by("id")


@pytest.fixture
def two_batches(root):
    """Batch a with all labels, batch b with those of one column."""
    add_batch(root, "a", 24, fragments=4)
    add_batch(root, "b", 12, first=100, fragments=3)
    labeller = Labeller(root)
    labeller("a", SHARP, WORDS)
    labeller("b", SHARP)
    return root


def test_it_keeps_images_labels_and_row_ids(two_batches):
    before = rows(two_batches)
    compact(two_batches)
    assert rows(two_batches).equals(before)


def test_each_batch_becomes_a_fragment_of_its_own(two_batches):
    done = compact(two_batches)
    assert [(one.batch, one.before, one.after, one.rows) for one in done] == [("a", 4, 1, 24), ("b", 3, 1, 12)]
    dataset = open_images(two_batches)
    assert not set(batch_fragments(dataset, "a")) & set(batch_fragments(dataset, "b"))


def test_only_the_batches_asked_for_are_compacted(two_batches):
    compact(two_batches, batches=["b"])
    dataset = open_images(two_batches)
    assert (len(batch_fragments(dataset, "a")), len(batch_fragments(dataset, "b"))) == (4, 1)


def test_fragments_do_not_grow_beyond_the_target(two_batches):
    compact(two_batches, rows_per_fragment=12, batches=["a"])
    dataset = open_images(two_batches)
    assert [fragment_at(dataset, number).count_rows() for number in batch_fragments(dataset, "a")] == [12, 12]


def test_nothing_becomes_stale_and_what_was_never_scored_stays_new(two_batches):
    compact(two_batches)
    dataset = open_images(two_batches)
    assert stale_cells(two_batches, dataset, "a", [SHARP, WORDS]) == []
    [cell] = stale_cells(two_batches, dataset, "b", [SHARP, WORDS])
    assert (cell.column, cell.reason, cell.rows) == ("score_words", "new", 12)


def test_a_relabel_after_it_scores_the_batch_once_and_keeps_the_other_column(two_batches):
    compact(two_batches)
    before = rows(two_batches)
    labeller = Labeller(two_batches)
    labeller("a", dataclasses.replace(SHARP, version="2"), WORDS)
    assert labeller.rows == 24
    assert rows(two_batches)["score_words"].equals(before["score_words"])
    assert not rows(two_batches)["score_sharp"].equals(before["score_sharp"])


def test_the_ledger_holds_the_map_from_old_to_new_fragments(two_batches):
    compact(two_batches, batches=["b"])
    details = [detail or "" for detail in ledger.read(two_batches, "b")["detail"].to_pylist()]
    [said] = [json.loads(detail)["compacted_from"] for detail in details if "compacted_from" in detail]
    assert [one["rows"] for one in said] == [4, 4, 4]


def test_deleted_rows_go_and_the_labels_of_the_others_stay_with_them(two_batches):
    open_images(two_batches).delete("id = 'a/7'")
    before = rows(two_batches)
    compact(two_batches)
    assert rows(two_batches).equals(before)
    assert stale_cells(two_batches, open_images(two_batches), "a", [SHARP, WORDS]) == []
    assert verify(two_batches, deep=True).clean


def test_a_second_time_there_is_nothing_to_do(two_batches):
    compact(two_batches)
    version = open_images(two_batches).version
    assert compact(two_batches) == []
    assert open_images(two_batches).version == version


def test_fragments_that_are_not_neighbours_are_merged_too(root):
    add_batch(root, "a", 8, fragments=2)
    add_batch(root, "b", 4, first=50)
    add_batch(root, "a", 9, fragments=3)  # other slices: new fragments behind those of b
    Labeller(root)("a", SHARP)
    before = rows(root)
    compact(root)
    assert rows(root).equals(before)
    assert len(batch_fragments(open_images(root), "a")) == 1
