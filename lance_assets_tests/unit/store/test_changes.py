"""What differs between two versions of a table, held against what was done to it."""

from datetime import timedelta

import pytest

from lance_assets.store.changes import RowChanges, changes, published, row_changes
from lance_assets.store.cleanup import cleanup
from lance_assets.store.compact import compact
from lance_assets.store.files import DataRoot
from lance_assets.store.table import open_images
from lance_assets_tests.histories import BATCH, CHANGES, eventful
from lance_assets_tests.labels import SHARP, WORDS, Labeller
from lance_assets_tests.tables import add_batch

STORED, COLUMNS, FIRST, SECOND, REPLACED = 3, 4, 5, 7, 8


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The eventful table: nobody changes it."""
    place = DataRoot(tmp_path_factory.mktemp("changes") / "data")
    eventful(place)
    return place


def between(root, before, after):
    return changes(root, open_images(root, before), open_images(root, after))


def of_itself(root):
    """What the newest commit says."""
    here = open_images(root)
    commit = here.read_transaction(here.version)
    assert commit is not None
    return published(root, commit)


def test_a_stored_batch_adds_its_rows_and_a_new_column_is_named(root):
    found = between(root, STORED - 1, STORED)
    assert found.rows == {BATCH: RowChanges(added=10)} and found.runs == ["download"] and not found.cells
    added = between(root, STORED, COLUMNS)
    assert {SHARP.column, WORDS.column} < set(added.columns_added) and not added.rows


def test_published_cells_are_counted_by_who_computed_them(root):
    [first] = between(root, FIRST - 1, FIRST).cells
    assert (first.column, first.scorer, first.version, first.cells, first.carried) == (
        SHARP.column,
        "sharp",
        "1",
        10,
        0,
    )
    [retried] = between(root, SECOND - 1, SECOND).cells
    assert (retried.cells, retried.carried, retried.runs) == (5, 4, ["second"])


def test_a_replaced_batch_tells_the_row_with_another_picture_from_those_that_only_moved(root):
    found = between(root, REPLACED - 1, REPLACED)
    assert found.rows == {BATCH: RowChanges(changed=1, moved=4)} and found.runs == ["download again"]
    assert {one.column: (one.cells, one.carried) for one in found.cells} == {SHARP.column: (4, 4), WORDS.column: (4, 4)}


def test_a_filter_counts_the_rows_that_it_selects_in_one_version_only(root):
    here = open_images(root)
    value = here.to_table(columns=[SHARP.column], filter=f"id = '{CHANGES}'")[SHARP.column][0].as_py()
    where = f"{SHARP.column} = {value!r} AND id = '{CHANGES}'"
    assert row_changes(open_images(root, FIRST), here, where) == {BATCH: RowChanges(added=1)}
    assert row_changes(here, here, where) == {}


def test_compaction_moves_every_row_and_computes_nothing(tmp_path):
    root = DataRoot(tmp_path / "data")
    eventful(root)
    before = open_images(root)
    compact(root)
    found = changes(root, before, open_images(root))
    assert found.rows == {BATCH: RowChanges(moved=10)} and found.runs == []
    assert all(one.cells == one.carried == 10 for one in found.cells)


def test_a_commit_speaks_for_itself_where_the_version_before_it_is_gone(tmp_path):
    root = DataRoot(tmp_path / "data")
    add_batch(root, "a", 4)
    assert of_itself(root).rows == {"a": RowChanges(added=4)}
    Labeller(root)("a", SHARP, run_id="one")
    cleanup(root, timedelta(0))
    assert [(one.column, one.cells, one.runs) for one in of_itself(root).cells] == [(SHARP.column, 4, ["one"])]


def test_cells_that_nobody_announced_are_told_to_be_unexplained(tmp_path):
    from lance_assets.store.staging import publish
    from lance_assets_tests.histories import scored

    root = DataRoot(tmp_path / "data")
    add_batch(root, "a", 2)
    before = open_images(root)
    publish(root, [scored(root, "a", SHARP, None).staged], {})
    found = changes(root, before, open_images(root))
    assert found.unexplained == {SHARP.column: 2} and not found.cells
