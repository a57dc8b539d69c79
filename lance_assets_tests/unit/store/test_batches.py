"""Batches: whole fragments, stored once, replaced only where they changed."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pytest

from lance_assets.errors import BadInput
from lance_assets.store import ledger
from lance_assets.store.batches import announce, replace_batch, stored_rows, unfinished, write_fragment
from lance_assets.store.compact import compact
from lance_assets.store.files import DataRoot, delete, write
from lance_assets.store.fragments import FragmentGone
from lance_assets.store.schema import IMAGES
from lance_assets.store.table import batch_fragments, ensure_images, open_images, refresh_index
from lance_assets.store.verify import verify
from lance_assets_tests.labels import SHARP, Labeller
from lance_assets_tests.tables import add_batch, image_rows
from lance_assets_tests.unit.store import scenes
from lance_assets_tests.unit.store.scenes import Row, numbered


def ids(root: DataRoot) -> list[str]:
    return open_images(root).to_table(columns=["id"])["id"].to_pylist()


def test_a_batch_is_appended_and_comes_back_row_by_row_with_its_images(root):
    add_batch(root, "a", 10, fragments=3)
    add_batch(root, "b", 5)
    table = open_images(root).scanner(columns=["id", "image", "image_sha256"], blob_handling="all_binary").to_table()
    assert table["id"].to_pylist() == [f"a/{n}" for n in range(10)] + [f"b/{n}" for n in range(5)]
    digests = [hashlib.sha256(image).hexdigest() for image in table["image"].to_pylist()]
    assert digests == table["image_sha256"].to_pylist()
    dataset = open_images(root)
    assert (batch_fragments(dataset, "a"), batch_fragments(dataset, "b")) == ([0, 1, 2], [3])


def test_creating_the_table_twice_keeps_it(root):
    ensure_images(root)
    add_batch(root, "a", 2)
    ensure_images(root)
    assert open_images(root).count_rows() == 2


def test_there_is_no_table_before_somebody_made_one(root):
    with pytest.raises(BadInput, match=r"there is no image table at .*: materialize image_dataset first"):
        open_images(root)


def test_writing_a_batch_again_leaves_no_duplicate_and_moves_no_version(root):
    add_batch(root, "a", 10, fragments=2)
    add_batch(root, "b", 5)
    Labeller(root)("a", SHARP)
    version, fragments = open_images(root).version, list(scenes.fragments(root))
    add_batch(root, "a", 10, fragments=2)
    assert (open_images(root).version, list(scenes.fragments(root))) == (version, fragments)
    assert len(ids(root)) == len(set(ids(root))) == 15 and scenes.reasons(root, "a", SHARP) == []


def test_a_batch_that_lost_all_its_rows_leaves_none_behind(root):
    add_batch(root, "a", 10)
    add_batch(root, "b", 3)
    replace_batch(root, "a", [], {})
    assert ids(root) == ["b/0", "b/1", "b/2"]
    version = replace_batch(root, "a", [], {}).version
    assert open_images(root).version == version


def test_nothing_is_written_for_no_rows(root):
    ensure_images(root)
    assert write_fragment(root, iter([scenes.rows_of("a", [])])) == [] == write_fragment(root, iter([]))
    assert scenes.data_files(root) == {}


def test_a_key_with_a_quote_finds_its_batch_and_no_other(root):
    for key in ("it's", "it", "' OR 1 = 1 --"):
        scenes.store(root, key, numbered(2))
    dataset = open_images(root)
    assert [batch_fragments(dataset, key) for key in ("it's", "it", "' OR 1 = 1 --", "none")] == [[0], [1], [2], []]


def test_a_batch_is_found_before_and_after_its_index_is_renewed(root):
    scenes.store(root, "a", numbered(3))
    scenes.store(root, "b", numbered(3))
    refresh_index(root)
    scenes.store(root, "c", numbered(3))
    scenes.store(root, "a", numbered(3, first=50))
    dataset = open_images(root)
    assert [batch_fragments(dataset, key) for key in "abc"] == [[3], [1], [2]]


def test_fragments_that_did_not_change_stay_with_their_files_and_labels(root):
    scenes.store(root, "a", *[numbered(5, first=start) for start in (0, 5, 10)])
    labeller = Labeller(root)
    labeller("a", SHARP)
    before = dict(scenes.fragments(root))
    scenes.store(root, "a", numbered(5), [Row(5, image=99), *numbered(4, first=6)], numbered(5, first=10))
    after = dict(scenes.fragments(root))
    assert (after[0], after[2]) == (before[0], before[2]) and sorted(after) == [0, 2, 3]
    labeller("a", SHARP)
    assert labeller.rows == 16 and verify(root, deep=True).clean


@pytest.mark.parametrize(
    ("slices", "kept"),
    [
        ([numbered(5, first=5), numbered(5)], [0, 1]),
        ([numbered(5)], [0]),
        ([numbered(5), numbered(5, first=5), numbered(5, first=10)], [0, 1]),
        ([numbered(10)], []),
        ([numbered(5)[::-1], numbered(5, first=5)], [1]),
        ([[Row(n, url="http://example.net/") for n in range(5)], numbered(5, first=5)], [1]),
    ],
    ids=["in another order", "one less", "one more", "cut otherwise", "rows in another order", "other addresses"],
)
def test_a_fragment_stays_where_its_very_rows_are_stored_again(root, slices, kept):
    scenes.store(root, "a", numbered(5), numbered(5, first=5))
    before = dict(scenes.fragments(root))
    scenes.store(root, "a", *slices)
    after = dict(scenes.fragments(root))
    assert {number: after[number] for number in after if number in before} == {
        number: before[number] for number in kept
    }
    assert sorted(ids(root)) == sorted(f"a/{row.number}" for rows in slices for row in rows)


def test_what_tells_whether_the_captions_changed_is_read_without_images(root):
    scenes.store(root, "a", numbered(2), [Row(2, words="Other.")])
    scenes.store(root, "b", numbered(2))
    rows = stored_rows(open_images(root), "a", ["id", "messages"])
    assert rows.schema.names == ["id", "messages", "_rowaddr"] and rows["id"].to_pylist() == ["a/0", "a/1", "a/2"]
    assert rows["messages"].to_pylist()[2][0]["content"] == "Other."


def test_a_batch_grows_by_a_fragment_beside_those_it_keeps(root):
    scenes.store(root, "a", numbered(2))
    [old] = batch_fragments(open_images(root), "a")
    replace_batch(root, "a", scenes.written(root, "a", [Row(7)]), {}, keep=[old])
    table = open_images(root)
    assert batch_fragments(table, "a")[0] == old
    assert table.to_table(columns=["id"])["id"].to_pylist() == ["a/0", "a/1", "a/7"]


def test_a_fragment_that_was_to_be_kept_and_is_gone_is_named_and_nothing_is_committed(root):
    scenes.store(root, "a", numbered(2))
    version = open_images(root).version
    with pytest.raises(FragmentGone, match=r"fragments \[99\] of batch a"):
        replace_batch(root, "a", scenes.written(root, "a", [Row(7)]), {}, keep=[99])
    assert open_images(root).version == version


def announced(root: DataRoot, batch: str, rows: list[Row], digest: str) -> str:
    [fragment] = scenes.written(root, batch, rows)
    announce(root, batch, fragment, digest, "run", ledger.now(), detail=f"about {digest}")
    return fragment


def test_what_a_killed_run_had_announced_is_found_by_its_digest_and_stored(root):
    ensure_images(root)
    announced(root, "a", numbered(3), "first")
    announced(root, "b", numbered(3), "other")
    announced(root, "a", numbered(4, first=3), "second")
    found = unfinished(root, "a")
    assert {digest: detail for digest, (_, detail) in found.items()} == {
        "first": "about first",
        "second": "about second",
    }
    replace_batch(root, "a", [fragment for fragment, _ in found.values()], {})
    assert ids(root) == [f"a/{n}" for n in range(7)] and unfinished(root, "a") == {}
    assert verify(root, deep=True).clean


def test_of_two_files_for_one_digest_the_newer_is_taken(root):
    ensure_images(root)
    announced(root, "a", numbered(3), "same")
    newer = announced(root, "a", numbered(3, first=5), "same")
    assert unfinished(root, "a")["same"][0] == newer


def test_what_was_announced_before_the_stored_batch_is_out_of_date(root):
    ensure_images(root)
    announced(root, "a", numbered(3), "old")
    replace_batch(root, "a", [announced(root, "a", numbered(3, first=5), "stored")], {})
    assert unfinished(root, "a") == {}
    announced(root, "a", numbered(3, first=9), "new")
    assert list(unfinished(root, "a")) == ["new"]


@pytest.mark.parametrize("damage", ["gone", "unreadable"])
def test_an_announced_file_that_is_not_whole_is_written_again(root, damage):
    ensure_images(root)
    announced(root, "a", numbered(3), "one")
    [(name, _)] = scenes.data_files(root).items()
    if damage == "gone":
        delete(root, name)
    else:
        write(root, name, b"no data file")
    assert unfinished(root, "a") == {}


def test_a_compacted_batch_has_nothing_unfinished(root):
    ensure_images(root)
    replace_batch(
        root, "a", [announced(root, "a", numbered(3), "one"), announced(root, "a", numbered(3, 3), "two")], {}
    )
    compact(root)
    assert unfinished(root, "a") == {}


def test_a_row_without_an_image_is_refused_by_name(root):
    ensure_images(root)
    rows = image_rows("a", 3).to_pylist()
    for nothing in (None, b""):
        rows[1]["image"] = nothing
        with pytest.raises(BadInput, match="row a/1 of batch a has no image"):
            write_fragment(root, iter([pa.RecordBatch.from_pylist(rows, schema=IMAGES)]))


@pytest.mark.parametrize("name", ["a b", "50%20", "what?", "no#1", "ünï"])
def test_a_folder_with_any_name_takes_images(tmp_path, name):
    root = DataRoot(tmp_path / name / "data")
    add_batch(root, "a", 3)
    assert open_images(root).count_rows() == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]
    assert verify(root, deep=True).clean


def test_a_folder_named_from_where_one_stands_takes_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    add_batch(DataRoot("here/data"), "a", 3)
    assert verify(DataRoot(tmp_path / "here" / "data"), deep=True).clean
