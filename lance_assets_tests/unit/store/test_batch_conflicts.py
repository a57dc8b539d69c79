"""The conflict matrix, for those who store a batch or compact one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import lance
import pyarrow as pa
import pytest
from lance.fragment import FragmentMetadata

from lance_assets.store import ledger
from lance_assets.store.columns import Superseded, ensure_columns
from lance_assets.store.compact import compact
from lance_assets.store.files import DataRoot
from lance_assets.store.staging import publish
from lance_assets.store.table import batch_fragments, open_images
from lance_assets.store.verify import verify
from lance_assets_tests.labels import SHARP, WORDS, Labeller
from lance_assets_tests.unit.store import scenes
from lance_assets_tests.unit.store.scenes import Meanwhile, Row, numbered

SCORE = SHARP.column
Land = Callable[[DataRoot], object]
CHANGED = [Row(0, image=100), *numbered(9, first=1)]


@pytest.fixture
def table(root: DataRoot) -> DataRoot:
    """Batch a in fragments 0 and 1, batch b in fragment 2, two columns that nobody filled."""
    scenes.store(root, "a", numbered(10), numbered(10, first=10))
    scenes.store(root, "b", numbered(10))
    ensure_columns(root, {one.column: pa.float32() for one in (SHARP, WORDS)})
    return root


def label(batch: str) -> Land:
    return lambda root: Labeller(root)(batch, SHARP)


LANDS: Mapping[str, Land] = {
    "cells of the batch": label("a"),
    "cells of another batch": label("b"),
    "a new batch": lambda root: scenes.store(root, "c", numbered(4)),
    "another batch replaced": lambda root: scenes.store(root, "b", numbered(10, first=50)),
    "a column added": lambda root: ensure_columns(root, {"score_new": pa.string()}),
    "a row of the batch deleted": lambda root: open_images(root).delete("id = 'a/3'"),
    "the batch compacted": lambda root: compact(root, batches=["a"]),
    "another batch compacted": lambda root: compact(root, batches=["b"]),
    "the batch replaced": lambda root: scenes.store(root, "a", numbered(10, first=50)),
    "the batch emptied": lambda root: scenes.store(root, "a"),
    "the very same rows": lambda root: scenes.store(root, "a", CHANGED, numbered(10, first=10)),
}


def rows(root: DataRoot, batch: str) -> set[str]:
    ids = open_images(root).to_table(columns=["id"], filter=f"batch = '{batch}'")["id"].to_pylist()
    assert len(ids) == len(set(ids))
    return set(ids)


@pytest.mark.parametrize("late", [False, True], ids=["before we open", "right before the commit"])
@pytest.mark.parametrize("land", LANDS.values(), ids=LANDS)
def test_a_batch_is_replaced_after(table, land, late):
    """By our rows, none of them twice, and with the labels that landed meanwhile."""
    if not late:
        land(table)
    held = Meanwhile(*[lambda: land(table)] * late)
    scenes.store(table, "a", CHANGED, numbered(10, first=10), held=held)
    assert not held.lands and rows(table, "a") == {f"a/{n}" for n in range(20)}
    assert verify(table, deep=True).clean
    if land is LANDS["cells of the batch"]:
        right = scenes.right(table, SHARP)[SCORE]
        assert {row for row, value in scenes.values(table, SCORE).items() if value == right[row]} == {
            f"a/{n}" for n in range(1, 20)
        }


@pytest.mark.parametrize("late", [False, True], ids=["before we open", "right before the commit"])
@pytest.mark.parametrize("land", [*LANDS.values()][:-1], ids=[*LANDS][:-1])
def test_a_new_batch_is_stored_after(table, land, late):
    if not late:
        land(table)
    held = Meanwhile(*[lambda: land(table)] * late)
    scenes.store(table, "new", numbered(6), held=held)
    assert not held.lands and rows(table, "new") == {f"new/{n}" for n in range(6)}
    assert verify(table, deep=True).clean


def test_of_two_first_writers_without_a_claim_the_second_takes_its_copy_back(table):
    first = scenes.written(table, "new", numbered(6))
    second = scenes.written(table, "new", numbered(3, first=50), numbered(3, first=53))
    held = Meanwhile(lambda: scenes.replace_batch(table, "new", first, {}))
    with pytest.raises(Superseded, match="batch new was stored by another writer at the same time"):
        scenes.replace_batch(table, "new", second, {}, held)
    assert rows(table, "new") == {f"new/{n}" for n in range(6)}


def test_two_first_writers_of_the_same_rows_leave_one_copy(table):
    """Raw Lance keeps both."""
    one, two = scenes.written(table, "new", numbered(6)), scenes.written(table, "new", numbered(6))
    with pytest.raises(Superseded):
        scenes.replace_batch(table, "new", two, {}, Meanwhile(lambda: scenes.replace_batch(table, "new", one, {})))
    assert rows(table, "new") == {f"new/{n}" for n in range(6)}
    raw_append(table, open_images(table).version - 1, two)
    assert open_images(table).count_rows("batch = 'new'") == 12


def raw_append(root: DataRoot, version: int, fragments: list[str]) -> lance.LanceDataset:
    operation = lance.LanceOperation.Append([FragmentMetadata.from_json(one) for one in fragments])
    return lance.LanceDataset.commit(root.images, lance.Transaction(version, operation))


def test_who_replaces_a_batch_while_a_stranger_appends_to_it_leaves_the_rows_of_the_stranger(table):
    foreign = scenes.written(table, "a", numbered(6, first=70))
    held = Meanwhile(lambda: raw_append(table, open_images(table).version, foreign))
    with pytest.raises(Superseded):
        scenes.store(table, "a", CHANGED, held=held)
    assert rows(table, "a") == {f"a/{n}" for n in range(70, 76)}


def test_replacing_a_batch_twice_with_the_same_fragments_is_nothing_the_second_time(table):
    fragments = scenes.written(table, "a", CHANGED)
    version = scenes.replace_batch(table, "a", fragments, {}).version
    assert scenes.replace_batch(table, "a", fragments, {}).version == version
    assert rows(table, "a") == {f"a/{n}" for n in range(10)}


def test_a_compaction_that_loses_against_a_label_is_done_again_and_keeps_it(table, monkeypatch):
    """The claim keeps them apart; here somebody publishes without one, between plan and commit."""
    append, lands = ledger.append, [lambda: publish(table, [scenes.staged(table, 0, SCORE, 2.0)], {})]

    def appended(root, intents):
        while lands:
            lands.pop()()
        append(root, intents)

    monkeypatch.setattr(ledger, "append", appended)
    [done] = compact(table, batches=["a"])
    assert not lands and (done.before, done.after) == (2, 1)
    dataset = open_images(table)
    assert len(batch_fragments(dataset, "a")) == 1
    assert [value for row, value in scenes.values(table, SCORE).items() if row < "b"].count(2.0) == 10
