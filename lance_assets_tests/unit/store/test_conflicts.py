"""The conflict matrix: our write, planned at a version that somebody else has left behind, has a typed outcome.

The other lands either before we open the table to commit, or in the moment before the commit itself, so that Lance has
to decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

import pyarrow as pa
import pytest
from lance import LanceDataset
from lance import LanceOperation as Operation
from lance.commit import CommitConflictError

from lance_assets.store.claims import Held
from lance_assets.store.columns import Superseded, ensure_columns
from lance_assets.store.compact import compact
from lance_assets.store.files import DataRoot
from lance_assets.store.lease import LostClaim
from lance_assets.store.staging import FragmentGone, publish
from lance_assets.store.table import GaveUp, commit, open_images
from lance_assets_tests.labels import SHARP, WORDS
from lance_assets_tests.unit.store import scenes
from lance_assets_tests.unit.store.scenes import Meanwhile, numbered

SCORE, STATE, OTHER = SHARP.column, f"{SHARP.column}__state", WORDS.column
Land = Callable[[DataRoot], object]


@pytest.fixture
def table(root: DataRoot) -> DataRoot:
    """Batch a in fragments 0 and 1, batch b in fragment 2, two columns that nobody filled."""
    scenes.store(root, "a", numbered(10), numbered(10, first=10))
    scenes.store(root, "b", numbered(10))
    ensure_columns(root, {SCORE: pa.float32(), OTHER: pa.float32()})
    return root


def labelled(number: int, column: str) -> Land:
    return lambda root: publish(root, [scenes.staged(root, number, column, 2.0)], {})


def replaced(batch: str) -> Land:
    return lambda root: scenes.store(root, batch, numbered(10, first=50))


def dropped(root: DataRoot) -> None:
    open_images(root).drop_columns([SCORE, STATE])


def re_created(root: DataRoot) -> None:
    dropped(root)
    ensure_columns(root, {SCORE: pa.float32()})


PUBLISH: Mapping[str, tuple[Land, type[Exception] | None]] = {
    "the same cells": (labelled(0, SCORE), Superseded),
    "another fragment of the column": (labelled(1, SCORE), None),
    "another column of the fragment": (labelled(0, OTHER), None),
    "a new batch": (lambda root: scenes.store(root, "c", numbered(4)), None),
    "a row of the fragment deleted": (lambda root: open_images(root).delete("id = 'a/3'"), None),
    "another batch replaced": (replaced("b"), None),
    "a column added": (lambda root: ensure_columns(root, {"score_new": pa.string()}), None),
    "the index renewed": (lambda root: open_images(root).optimize.optimize_indices(), None),
    "another batch compacted": (lambda root: compact(root, batches=["b"]), None),
    "our batch compacted": (lambda root: compact(root, batches=["a"]), FragmentGone),
    "our batch replaced": (replaced("a"), FragmentGone),
    "our batch emptied": (lambda root: scenes.store(root, "a"), FragmentGone),
    "the column dropped": (dropped, Superseded),
    "the column re-created": (re_created, Superseded),
    "our version cleaned up": (
        lambda root: (labelled(1, OTHER)(root), open_images(root).cleanup_old_versions(timedelta())),
        None,
    ),
}


@pytest.mark.parametrize("late", [False, True], ids=["before we open", "right before the commit"])
@pytest.mark.parametrize(("land", "outcome"), PUBLISH.values(), ids=PUBLISH)
def test_publishing_a_column_after(table, land, outcome, late):
    one = scenes.staged(table, 0, SCORE, 1.0)
    if not late:
        land(table)
    held = Meanwhile(*[lambda: land(table)] * late)
    if outcome is not None:
        with pytest.raises(outcome):
            publish(table, [one], {}, held)
        assert one.name not in {file for _, files in scenes.fragments(table) for file in files}
        return
    publish(table, [one], {}, held)
    files = dict(scenes.fragments(table))
    assert one.name in files[0]
    ours = [value for row, value in scenes.values(table, SCORE).items() if row in {f"a/{n}" for n in range(10)}]
    assert set(ours) == {1.0} and len(ours) in (9, 10)


def test_what_landed_beside_ours_is_there_too(table):
    one = scenes.staged(table, 0, SCORE, 1.0)
    lands = [labelled(1, SCORE), labelled(0, OTHER), replaced("b")]
    publish(table, [one], {}, Meanwhile(lambda: [land(table) for land in lands]))
    assert {row: value for row, value in scenes.values(table, SCORE).items() if row < "b"} == {
        f"a/{n}": 1.0 if n < 10 else 2.0 for n in range(20)
    }
    assert scenes.values(table, OTHER)["a/0"] == 2.0 and "b/50" in scenes.values(table, SCORE)


def test_publishing_the_same_files_twice_is_superseded_and_the_first_stay(table):
    one = scenes.staged(table, 0, SCORE, 1.0)
    version = publish(table, [one], {}).version
    with pytest.raises(Superseded):
        publish(table, [one], {})
    assert open_images(table).version == version and scenes.values(table, SCORE)["a/0"] == 1.0


class Lost(Meanwhile):
    """A claim that is gone once `lands` have landed."""

    def check(self) -> None:
        if not self.lands:
            raise LostClaim("the claim was lost")
        super().check()


WRITES: Mapping[str, Callable[[DataRoot, Held], object]] = {
    "cells": lambda root, held: publish(root, [scenes.staged(root, 0, SCORE, 1.0)], {}, held),
    "a batch again": lambda root, held: scenes.store(root, "a", numbered(10, first=50), held=held),
    "a new batch": lambda root, held: scenes.store(root, "c", numbered(10), held=held),
}


@pytest.mark.parametrize(
    ("what", "conflicts"), [("cells", 0), ("cells", 1), ("a batch again", 0), ("a batch again", 1), ("a new batch", 0)]
)
def test_nothing_is_published_once_the_claim_is_lost(table, what, conflicts):
    before = scenes.cells(table, SCORE)
    land = [lambda: ensure_columns(table, {"score_new": pa.int8()})] * conflicts
    with pytest.raises(LostClaim):
        WRITES[what](table, Lost(*land))
    assert scenes.cells(table, SCORE) == before


def test_who_loses_every_time_gives_up_and_says_so(table):
    one = scenes.staged(table, 0, SCORE, 1.0)
    dataset = open_images(table)
    operation = Operation.DataReplacement([Operation.DataReplacementGroup(0, one.file)])
    names = (f"score_n{number}" for number in range(9))

    def land_again(newest: LanceDataset) -> Operation.BaseOperation:
        ensure_columns(table, {next(names): pa.int8()})
        return operation

    land_again(dataset)
    with pytest.raises(GaveUp, match="3 conflicts in a row"):
        commit(table, dataset.version, operation, {}, land_again, tries=3)
    assert set(scenes.values(table, SCORE).values()) == {None}


class Landing(dict[str, pa.DataType]):
    """Columns wanted; somebody lands when a missing one is looked up, which is between opening the table and adding."""

    def __init__(self, wanted: Mapping[str, pa.DataType], land: Callable[[], object]) -> None:
        super().__init__(wanted)
        self.lands = [land]

    def __getitem__(self, name: str) -> pa.DataType:
        if self.lands:
            self.lands.pop()()
        return super().__getitem__(name)


@pytest.mark.parametrize(
    "land",
    [labelled(0, OTHER), replaced("b"), lambda root: scenes.store(root, "c", numbered(4)), compact],
    ids=["cells published", "a batch replaced", "a new batch", "a compaction"],
)
def test_adding_a_column_after_something_landed_is_retried_and_loses_nothing(table, land):
    stale = open_images(table)
    landed: list[dict[str, tuple[object, int | None]]] = []
    wanted = Landing({"score_new": pa.int8()}, lambda: landed.append((land(table), scenes.cells(table, OTHER))[1]))
    ensure_columns(table, wanted)
    assert {"score_new", "score_new__state"} <= set(open_images(table).schema.names)
    assert [scenes.cells(table, OTHER)] == landed
    with pytest.raises(CommitConflictError):
        stale.add_columns([pa.field("score_late", pa.int8())])
