"""A batch is replaced: rows whose inputs did not change keep their labels and their makers, the others become stale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lance_assets.store import ledger
from lance_assets.store.columns import column_file
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import fragment_at
from lance_assets.store.labelling import label_batch
from lance_assets.store.ledger import Intent
from lance_assets.store.staging import publish
from lance_assets.store.table import open_images
from lance_assets.store.verify import verify
from lance_assets_tests.labels import SHARP, WORDS, Labeller
from lance_assets_tests.unit.store import scenes
from lance_assets_tests.unit.store.scenes import PERMANENT, REFUSED, TRANSIENT, Row, numbered

NEWER = replace(SHARP, version="2")


@pytest.fixture
def labeller(root: DataRoot) -> Labeller:
    """For a batch of ten rows in fragments 0 and 1, with both columns."""
    scenes.store(root, "a", numbered(5), numbered(5, first=5))
    labeller = Labeller(root)
    labeller("a", SHARP, WORDS, run_id="first")
    labeller.calls.clear()
    return labeller


def makers(root: DataRoot, column: str = SHARP.column) -> dict[str, Intent]:
    """By row id, the ledger row that explains the cell; each cell has one."""
    dataset, known = open_images(root), ledger.history(ledger.read(root, "a"))
    found: dict[str, Intent] = {}
    for number, _ in scenes.fragments(root):
        fragment = fragment_at(dataset, number)
        ids = fragment.to_table(columns=["id"])["id"].to_pylist()
        for intent in known.get((column, column_file(dataset, fragment, column) or ""), ()):
            for offset in intent.covered(fragment.physical_rows):
                assert ids[offset] not in found
                found[ids[offset]] = intent
    return found


def unlabelled(root: DataRoot, column: str) -> set[str]:
    return {row for row, state in scenes.states(root, column).items() if state is None}


Change = Callable[[list[Row]], list[Row]]


@pytest.mark.parametrize(
    ("change", "sharp", "words"),
    [
        (lambda rows: [replace(rows[0], image=99), *rows[1:]], {"a/0"}, {"a/0"}),
        (lambda rows: [replace(rows[0], words="Changed."), *rows[1:]], set(), {"a/0"}),
        (lambda rows: [replace(rows[0], url="http://example.net/"), *rows[1:]], set(), set()),
        (lambda rows: rows[::-1], set(), set()),
        (lambda rows: rows[3:], set(), set()),
        (lambda rows: [*rows[:7], Row(50), *rows[7:]], {"a/50"}, {"a/50"}),
        (lambda rows: [Row(50, image=0), *rows[1:]], {"a/50"}, {"a/50"}),
        (lambda rows: [replace(row, image=row.number + 1) for row in rows], None, None),
    ],
    ids=[
        "another image",
        "other words",
        "another address",
        "another order",
        "rows less",
        "a row more",
        "the same image under another id",
        "each image under the id of its neighbour",
    ],
)
def test_cells_are_carried_over_where_all_that_the_scorer_read_is_equal(labeller, change, sharp, words):
    root = labeller.root
    rows = change(numbered(10))
    every = {f"a/{row.number}" for row in rows}
    scenes.store(root, "a", rows)
    assert labeller.rows == 0 and set(scenes.states(root, SHARP.column)) == every
    assert unlabelled(root, SHARP.column) == (every if sharp is None else sharp)
    assert unlabelled(root, WORDS.column) == (every if words is None else words)
    seen: list[str] = []
    labeller.cells = scenes.scoring({}, seen)
    labeller("a", SHARP, WORDS)
    assert sorted(seen) == sorted([*(every if sharp is None else sharp), *(every if words is None else words)])
    right = scenes.right(root, SHARP, WORDS)
    assert all(scenes.values(root, column) == right[column] for column in right)
    assert verify(root, deep=True).clean and scenes.reasons(root, "a", SHARP, WORDS) == []


def test_a_carried_cell_keeps_its_maker_and_says_where_it_came_from(labeller):
    root = labeller.root
    before = makers(root)
    scenes.store(root, "a", [Row(0, image=99), *numbered(9, first=1)])
    after = makers(root)
    assert set(after) == {f"a/{n}" for n in range(1, 10)}
    for row, intent in after.items():
        old = before[row]
        assert (intent.run_id, intent.version, intent.started) == ("first", old.version, old.started)
        assert intent.carried_from == old.planned_file != intent.planned_file


def test_cells_of_several_versions_are_carried_with_their_own_makers(labeller):
    """Fragment 0 is of version 2 by now, except for one row; fragment 1 still of version 1."""
    root = labeller.root
    labeller.cells = scenes.scoring({"a/2": TRANSIENT, "a/3": REFUSED, "a/4": PERMANENT})
    run = labeller.jobs([NEWER])

    def only_first(version, jobs):
        yield from run(version, jobs[:1])

    label_batch(root, "a", [NEWER], "second", only_first)
    scenes.store(root, "a", [Row(0, image=99), *numbered(9, first=1)])
    assert {row: (made.version, made.run_id) for row, made in makers(root).items()} == {
        **{f"a/{n}": ("2", "second") for n in range(1, 5)},
        **{f"a/{n}": ("1", "first") for n in range(5, 10)},
    }
    states = scenes.states(root, SHARP.column)
    assert [states[f"a/{n}"] for n in range(6)] == [None, 0, TRANSIENT, REFUSED, PERMANENT, 0]
    seen: list[str] = []
    labeller.cells = scenes.scoring({}, seen)
    labeller("a", NEWER)
    assert sorted(seen) == ["a/0", "a/2", *(f"a/{n}" for n in range(5, 10))]
    assert verify(root).clean and makers(root)["a/2"].attempts == 2


def test_cells_that_are_carried_twice_still_name_who_made_them(labeller):
    root = labeller.root
    scenes.store(root, "a", [Row(0, image=99), *numbered(9, first=1)])
    labeller("a", SHARP, WORDS, run_id="second")
    scenes.store(root, "a", [Row(0, image=99), Row(1, image=98), *numbered(8, first=2)])
    assert {row: made.run_id for row, made in makers(root).items()} == {
        "a/0": "second",
        **{f"a/{n}": "first" for n in range(2, 10)},
    }
    labeller.calls.clear()
    labeller("a", SHARP, WORDS)
    assert labeller.rows == 2 and verify(root).clean


def test_a_row_that_gets_its_old_image_back_after_another_is_scored_again(labeller):
    scenes.store(labeller.root, "a", [Row(0, image=99), *numbered(9, first=1)])
    scenes.store(labeller.root, "a", numbered(10))
    assert unlabelled(labeller.root, SHARP.column) == {"a/0"}


def test_rows_may_move_from_one_fragment_to_another(labeller):
    root = labeller.root
    scenes.store(root, "a", numbered(3), numbered(4, first=3), numbered(3, first=7))
    assert unlabelled(root, SHARP.column) == set() and scenes.reasons(root, "a", SHARP, WORDS) == []
    assert scenes.values(root, SHARP.column) == scenes.right(root, SHARP)[SHARP.column] and verify(root).clean


def test_cells_that_nobody_can_explain_are_not_carried(labeller):
    root = labeller.root
    publish(root, [scenes.staged(root, 0, SHARP.column, 7.0)], {})
    scenes.store(root, "a", [*numbered(9), Row(9, image=99)])
    assert unlabelled(root, SHARP.column) == {"a/0", "a/1", "a/2", "a/3", "a/4", "a/9"}


def test_a_batch_nobody_labelled_is_replaced_without_column_files(root):
    scenes.store(root, "a", numbered(5))
    scenes.store(root, "a", [Row(0, image=99), *numbered(4, first=1)])
    assert [len(files) for _, files in scenes.fragments(root)] == [1]
