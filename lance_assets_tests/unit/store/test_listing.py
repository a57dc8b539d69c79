"""What labelling writes: new small files, nothing that was there before; at most three bytes per byte of the cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lance_assets.store.cells import Cells
from lance_assets.store.columns import ensure_columns
from lance_assets.store.files import DataRoot
from lance_assets.store.staleness import Identity
from lance_assets_tests.labels import SHARP, WORDS, Labeller
from lance_assets_tests.unit.store import scenes
from lance_assets_tests.unit.store.scenes import OK, TRANSIENT, Row

FRAGMENTS, ROWS = 4, 2_500
#: A float32 value and a uint8 state.
CELL_BYTES = 5


def rows(first: int, count: int) -> list[Row]:
    return [Row(number, image=number % 16) for number in range(first, first + count)]


class Listed:
    """A batch of 10,000 rows, and what lies there; values of float32 that do not compress."""

    def __init__(self, root: DataRoot) -> None:
        self.root, self.failing, self.random = root, 0, np.random.default_rng(7)
        scenes.store(root, "a", *[rows(start * ROWS, ROWS) for start in range(FRAGMENTS)])
        self.labeller = Labeller(root, cells=lambda one, table: self._cells(table.num_rows))
        self.before = self.files()

    def _cells(self, count: int) -> Cells:
        bits = self.random.integers(0, 0x7F800000, count, dtype=np.uint32)  # every finite positive float
        states = np.full(count, OK)
        states[: self.failing] = TRANSIENT
        return Cells.of(bits.view(np.float32), states)

    def files(self) -> dict[str, tuple[int, str]]:
        return scenes.data_files(self.root, "images.lance", "ledger.lance")

    def written(self, *identities: Identity, cells: int, files: int) -> float:
        """Bytes of new data files per byte of values and states, after a pass that scores so many cells and adds so
        many files to the image table; nothing that was there has changed."""
        calls = self.labeller.rows
        outcomes = self.labeller("a", *identities)
        assert [outcome.error for outcome in outcomes] == [None] * len(identities)
        assert self.labeller.rows - calls == cells
        after = self.files()
        assert {name: after.get(name) for name in self.before} == self.before
        new = [name for name in after if name not in self.before]
        assert sum(name.startswith("images.lance") for name in new) == files
        self.before = after
        return sum(after[name][0] for name in new) / (files * ROWS * CELL_BYTES)


@pytest.fixture
def listed(root: DataRoot) -> Listed:
    return Listed(root)


def test_labelling_relabelling_and_adding_a_column_write_small_new_files_and_touch_none(listed):
    every = FRAGMENTS * ROWS
    assert listed.written(SHARP, cells=every, files=FRAGMENTS) <= 3
    assert listed.written(SHARP, WORDS, cells=every, files=FRAGMENTS) <= 3, "a second column"
    newer = [replace(one, version="2") for one in (SHARP, WORDS)]
    assert listed.written(*newer, cells=2 * every, files=2 * FRAGMENTS) <= 3, "everything again"
    listed.failing = 100
    newest = replace(SHARP, version="3")
    assert listed.written(newest, cells=every, files=FRAGMENTS) <= 3
    listed.failing = 0
    assert listed.written(newest, cells=100 * FRAGMENTS, files=FRAGMENTS) <= 3, "some rows of each fragment"


def test_another_batch_costs_what_the_first_did_and_touches_none_of_its_files(listed):
    first = listed.written(SHARP, cells=FRAGMENTS * ROWS, files=FRAGMENTS)
    root = listed.root
    scenes.store(root, "b", rows(0, ROWS))
    after = listed.files()
    assert {name: after.get(name) for name in listed.before} == listed.before
    listed.before = after
    listed.labeller("b", SHARP)
    new = {name: size for name, (size, _) in listed.files().items() if name not in after}
    assert sum(new.values()) / (ROWS * CELL_BYTES) <= 1.1 * first <= 3


def test_adding_a_column_alone_writes_no_data(listed):
    ensure_columns(listed.root, {SHARP.column: SHARP.type})
    assert listed.files() == listed.before
