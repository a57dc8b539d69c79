"""The counted backlog says what staleness.py says cell by cell, whatever happened to the table."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow.compute as pc
import pytest

from lance_assets.store import ledger
from lance_assets.store.backlog import backlog
from lance_assets.store.columns import CellState
from lance_assets.store.files import DataRoot
from lance_assets.store.ledger import IMAGE, Intent
from lance_assets.store.staleness import Identity, all_stale_cells, versions_in_use
from lance_assets.store.table import batch_fragments, open_images
from lance_assets_tests.histories import BATCH, FAILS, eventful, failing, store, with_other_picture
from lance_assets_tests.labels import SHARP, WORDS, Labeller
from lance_assets_tests.tables import add_batch, image_rows
from lance_assets_tests.unit.store.walk import MOOD, WEIGHTS, Walk

Counts = dict[str, dict[str, dict[str, int]]]


def added_up(root: DataRoot, identities: Sequence[Identity], due: datetime | None = None) -> Counts:
    """What `all_stale_cells` says, in the form of a Backlog."""
    found: Counts = {}
    for batch, cells in all_stale_cells(root, open_images(root), identities, due).items():
        columns = found.setdefault(batch, {})
        for cell in cells:
            reasons = columns.setdefault(cell.column, {})
            reasons[cell.reason] = reasons.get(cell.reason, 0) + cell.rows
    return found


def counted(root: DataRoot, identities: Sequence[Identity], due: datetime | None = None) -> Counts:
    return backlog(root, open_images(root), identities, due).stale


@pytest.mark.parametrize("seed", range(12))
def test_after_any_walk_it_counts_what_the_cells_say(tmp_path, seed):
    random = np.random.default_rng(seed)
    walk = Walk(DataRoot(tmp_path), random)
    walk.append()
    for _ in range(12):
        step = str(random.choice([*WEIGHTS], p=np.array([*WEIGHTS.values()]) / sum(WEIGHTS.values())))
        walk.failing = float(random.choice([0, 0.4]))
        if step in ("label", "kill"):
            walk.label()
        else:
            getattr(walk, step)()
        now = list(walk.columns.values())
        bumped = [replace(one, version=f"{one.version}x") if random.random() < 0.3 else one for one in now]
        for due in (None, ledger.now(), ledger.now() + timedelta(hours=2)):
            for identities in (now, bumped):
                assert counted(walk.root, identities, due) == added_up(walk.root, identities, due), walk.log


def test_deleted_rows_are_not_stale(tmp_path):
    root = DataRoot(tmp_path)
    eventful(root)
    open_images(root).delete(f"id = '{BATCH}/0'")
    for identities in ([SHARP, WORDS], [replace(SHARP, version="2"), MOOD]):
        assert counted(root, identities) == added_up(root, identities)
    assert counted(root, [replace(SHARP, version="2")])[BATCH]["score_sharp"] == {"version": 9}


def test_a_deleted_row_is_not_tried_again(tmp_path):
    root, other = DataRoot(tmp_path), f"{BATCH}/2"
    store(root, image_rows(BATCH, 10), "download")
    Labeller(root, cells=failing({FAILS, other}))(BATCH, SHARP)
    assert counted(root, [SHARP]) == added_up(root, [SHARP]) == {BATCH: {"score_sharp": {"failed": 2}}}
    open_images(root).delete(f"id = '{FAILS}'")
    assert counted(root, [SHARP]) == added_up(root, [SHARP]) == {BATCH: {"score_sharp": {"failed": 1}}}


def test_damaged_and_unexplained_files_are_counted(tmp_path):
    root = DataRoot(tmp_path)
    eventful(root)
    rows = ledger.read(root)
    file = rows.filter(pc.field("column") == "score_words")["planned_file"][-1].as_py()
    number = batch_fragments(open_images(root), BATCH)[-1]
    ledger.append(root, [Intent.of_damage("score_words", BATCH, number, file, "a bit fell over")])
    assert counted(root, [SHARP, WORDS]) == added_up(root, [SHARP, WORDS])
    assert "damaged" in counted(root, [WORDS])[BATCH]["score_words"]
    stranger = Identity("score_stranger", "stranger", "1", "c0ffee", ("image",))
    assert counted(root, [stranger]) == {BATCH: {"score_stranger": {"new": 10}}} == added_up(root, [stranger])


def test_a_batch_that_nobody_announced_is_found_by_its_first_row(tmp_path):
    root = DataRoot(tmp_path)
    add_batch(root, "a", 3)
    shutil.rmtree(root.ledger)
    assert counted(root, [SHARP]) == {"a": {"score_sharp": {"new": 3}}} == added_up(root, [SHARP])


def test_it_tells_when_the_cells_of_a_batch_were_made_and_that_its_images_were_replaced(tmp_path):
    root = DataRoot(tmp_path)
    store(root, image_rows(BATCH, 10), "download")
    before = backlog(root, open_images(root), [SHARP])
    assert (BATCH, IMAGE) in before.made and (BATCH, "score_sharp") not in before.made and not before.replaced
    Labeller(root, cells=failing({FAILS}, CellState.REFUSED))(BATCH, SHARP)
    labelled = backlog(root, open_images(root), [SHARP])
    assert labelled.made[BATCH, "score_sharp"] > labelled.made[BATCH, IMAGE] and not labelled.replaced
    store(root, with_other_picture(image_rows(BATCH, 10), f"{BATCH}/7"), "download again")
    replaced = backlog(root, open_images(root), [SHARP])
    assert replaced.stale == {BATCH: {"score_sharp": {"new": 1}}}
    assert replaced.replaced == {(BATCH, "score_sharp")}


def test_versions_in_use_are_those_of_the_cells_that_the_table_holds(root):
    for batch in ("a", "b"):
        add_batch(root, batch, 4, fragments=2)
    labeller = Labeller(root)
    for batch in ("a", "b"):
        labeller(batch, SHARP)
    labeller("a", replace(SHARP, version="2"))
    labeller("b", WORDS)

    def used():
        return versions_in_use(root, open_images(root), [SHARP.column, WORDS.column, "score_none"])

    first, second = ({"version": version, "config_hash": SHARP.config_hash} for version in "12")
    assert used()[SHARP.column] == [first, second] and len(used()[WORDS.column]) == 1 and len(used()) == 2
    labeller("b", replace(SHARP, version="2"))
    assert used()[SHARP.column] == [second]
