"""Who made a cell is found by lookup, whatever happened to the cell since."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from lance_assets.store import ledger
from lance_assets.store.cleanup import cleanup
from lance_assets.store.columns import CellState, column_file, ensure_columns
from lance_assets.store.compact import compact
from lance_assets.store.intents import announced
from lance_assets.store.ledger import Intent
from lance_assets.store.makers import explain_column
from lance_assets.store.provenance import Provenance, cell, find, inputs_match
from lance_assets.store.rows import explain_row
from lance_assets.store.staging import publish
from lance_assets.store.table import batch_fragments, open_images
from lance_assets_tests.histories import BATCH, CHANGES, FAILS, SHARP_MADE, WORDS_MADE, eventful, failing, scored
from lance_assets_tests.labels import SHARP, WORDS, Labeller
from lance_assets_tests.tables import add_batch

NOW = timedelta(0)


@pytest.fixture
def root(local_root):
    """The ledger is read alike everywhere; labelling, recovery and carrying write it on S3, too."""
    return local_root


def place_of(root, id):
    [place] = find(open_images(root), id)
    return place


def made(root, id, column=SHARP.column) -> Provenance:
    found = cell(root, open_images(root), place_of(root, id), column)
    assert found is not None
    return found


def is_explained(root, id) -> bool:
    return cell(root, open_images(root), place_of(root, id), SHARP.column) is not None


def told(root, column, ids):
    """(run, how it came, newest first) by row, and that each was made by what it says."""
    found = {}
    for id in ids:
        provenance = made(root, id, column)
        assert (provenance.intent.column, provenance.intent.version, provenance.intent.batch) == (column, "1", BATCH)
        found[id] = provenance.intent.run_id, [how for _, how in provenance.path]
    return found


def test_a_row_is_found_by_its_id_with_its_fragment_and_offset(root):
    add_batch(root, "a", 6, fragments=2)
    add_batch(root, "it's", 2)
    first, second = batch_fragments(open_images(root), "a")
    place = place_of(root, "a/4")
    assert (place.batch, place.fragment, place.offset) == ("a", second, 1)
    assert place_of(root, "a/0").fragment == first
    assert place_of(root, "it's/1").batch == "it's"
    assert find(open_images(root), "a/6") == []


def test_a_cell_is_explained_by_the_ledger_row_of_the_file_that_answers_for_it(root):
    add_batch(root, "a", 6, fragments=2)
    labeller = Labeller(root)
    labeller("a", SHARP, WORDS, run_id="one")
    labeller("a", replace(SHARP, version="2"), run_id="two")
    dataset, place = open_images(root), place_of(root, "a/4")
    sharp, words = (made(root, "a/4", column) for column in (SHARP.column, WORDS.column))
    assert (sharp.intent.version, sharp.intent.run_id, sharp.how) == ("2", "two", "computed")
    assert (words.intent.version, words.intent.run_id, words.how) == ("1", "one", "computed")
    assert sharp.intent.planned_file == column_file(dataset, dataset.get_fragment(place.fragment), SHARP.column)


def test_a_cell_that_was_never_scored_has_no_explanation(root):
    add_batch(root, "a", 2)
    ensure_columns(root, {SHARP.column: SHARP.type})
    assert not is_explained(root, "a/0")
    row = explain_row(root, open_images(root), place_of(root, "a/0"))
    assert (row.cells[SHARP.column].state, row.cells[SHARP.column].value) == (None, None)


def test_cells_of_a_file_that_nobody_announced_are_unexplained(root):
    add_batch(root, "a", 4)
    Labeller(root)("a", SHARP)
    publish(root, [scored(root, "a", SHARP, [1]).staged], {})
    assert is_explained(root, "a/1") is is_explained(root, "a/0") is False
    said = explain_column(root, SHARP.column)
    assert [(gap.batch, gap.rows) for gap in said.gaps] == [("a", 4)] and said.makers == [] and said.never == 0


def test_a_cell_that_the_ledger_rows_of_its_file_leave_out_is_unexplained_and_its_neighbours_are_not(root):
    add_batch(root, "a", 4)
    part = scored(root, "a", SHARP, None)
    [intent] = announced(part, "a", SHARP, "part", [], {})
    ledger.append(root, [replace(intent, offsets=np.array([0, 3]), rows_ok=2)])
    publish(root, [part.staged], {})
    assert [is_explained(root, f"a/{n}") for n in range(4)] == [True, False, False, True]
    said = explain_column(root, SHARP.column)
    assert ([gap.rows for gap in said.gaps], [maker.rows[CellState.OK] for maker in said.makers]) == ([2], [2])


def test_two_ledger_rows_that_contradict_each_other_explain_nothing(local_root):
    add_batch(local_root, "a", 2)
    Labeller(local_root)("a", SHARP, run_id="one")
    intent = made(local_root, "a/0").intent
    ledger.append(local_root, [intent])
    assert made(local_root, "a/0").intent.run_id == "one"
    ledger.append(local_root, [replace(intent, run_id="two")])
    assert not is_explained(local_root, "a/0")


def test_cells_keep_their_makers_through_retries_replacement_compaction_and_cleanup(root):
    labeller = eventful(root)
    assert told(root, SHARP.column, SHARP_MADE) == SHARP_MADE
    assert told(root, WORDS.column, WORDS_MADE) == WORDS_MADE
    times = {id: made(root, id).intent.planned for id in SHARP_MADE}
    calls = labeller.rows
    compact(root)
    cleanup(root, older_than=NOW)
    assert len(batch_fragments(open_images(root), BATCH)) == 1
    moved = {id: (run, ["compacted", *came]) for id, (run, came) in SHARP_MADE.items()}
    assert told(root, SHARP.column, SHARP_MADE) == moved
    assert {id: made(root, id).intent.planned for id in SHARP_MADE} == times
    assert [outcome.stale for outcome in labeller(BATCH, SHARP, WORDS)] == [[], []] and labeller.rows == calls


def test_a_row_tells_its_values_and_the_runs_that_stored_its_image_also_after_compaction(root):
    eventful(root)
    for runs in ({"download again"}, {"download", "download again"}):
        row = explain_row(root, open_images(root), place_of(root, CHANGES))
        assert row.values["id"] == CHANGES and isinstance(row.values["image"], bytes)
        assert {intent.run_id for intent in row.images} == runs
        assert row.cells[SHARP.column].state == CellState.OK and row.cells[SHARP.column].value is not None
        compact(root)


def test_a_column_adds_up_its_cells_by_maker(root):
    eventful(root)
    add_batch(root, "b", 3)
    for moved in (8, 10):
        said = explain_column(root, SHARP.column)
        [maker] = said.makers
        assert (said.rows, said.never, said.gaps, said.damaged, said.due) == (13, 3, [], 0, 0)
        assert maker.rows == {state: 10 if state == CellState.OK else 0 for state in CellState}
        assert (maker.batches, maker.runs) == ([BATCH], ["first", "second", "third"])
        assert maker.first < maker.last and maker.carried == moved
        compact(root)
        cleanup(root, older_than=NOW)


def test_versions_of_a_scorer_are_told_apart_cell_by_cell(local_root):
    add_batch(local_root, "a", 4)
    add_batch(local_root, "b", 3)
    labeller = Labeller(local_root)
    for batch in ("a", "b"):
        labeller(batch, SHARP)
    labeller("b", replace(SHARP, version="2", config_hash="beef"))
    found = [
        (maker.version, maker.config_hash, sum(maker.rows.values()))
        for maker in explain_column(local_root, SHARP.column).makers
    ]
    assert found == [("1", "c0ffee", 4), ("2", "beef", 3)]


def test_rows_that_were_never_scored_are_counted_inside_a_fragment_too(root):
    add_batch(root, "b", 4)
    part = scored(root, "b", WORDS, [2])
    ledger.append(root, announced(part, "b", WORDS, "part", [], {}))
    publish(root, [part.staged], {})
    said = explain_column(root, WORDS.column)
    assert (said.rows, said.never, said.gaps) == (4, 3, [])


def test_transient_failures_are_due_when_the_ledger_says(local_root):
    add_batch(local_root, "a", 4)
    Labeller(local_root, cells=failing({"a/1", "a/2"}))("a", SHARP)
    said = explain_column(local_root, SHARP.column)
    assert (said.due, said.makers[0].rows[CellState.FAILED_TRANSIENT]) == (0, 2)
    later = explain_column(local_root, SHARP.column, now=said.next_due)
    assert (later.due, later.next_due) == (2, None)


def test_damage_is_told_of_the_cells_of_the_file_only(root):
    add_batch(root, "a", 4, fragments=2)
    Labeller(root)("a", SHARP)
    place, intent = place_of(root, "a/0"), made(root, "a/0").intent
    ledger.append(
        root, [Intent.of_damage(SHARP.column, "a", place.fragment, intent.planned_file, "short: 1 of 2 rows")]
    )
    assert made(root, "a/0").damage == "short: 1 of 2 rows" and made(root, "a/3").damage is None
    said = explain_column(root, SHARP.column)
    assert (said.damaged, said.gaps, [sum(maker.rows.values()) for maker in said.makers]) == (2, [], [4])


def test_an_unreadable_column_file_spoils_its_own_cells_only(local_root):
    add_batch(local_root, "a", 2)
    Labeller(local_root)("a", SHARP, WORDS)
    (local_root.folder / "images.lance/data" / made(local_root, "a/0").intent.planned_file).write_bytes(b"rubbish")
    row = explain_row(local_root, open_images(local_root), place_of(local_root, "a/0"))
    sharp, words = row.cells[SHARP.column], row.cells[WORDS.column]
    assert sharp.unreadable and "\n" not in sharp.unreadable
    assert sharp.made is not None and sharp.made.intent.scorer == "sharp"
    assert words.unreadable is None and words.state == CellState.OK


@pytest.mark.parametrize("id", [FAILS, CHANGES, f"{BATCH}/5"])
def test_inputs_are_compared_where_the_digest_still_speaks_of_the_same_rows(local_root, id):
    eventful(local_root)
    dataset, place = open_images(local_root), place_of(local_root, id)
    found = made(local_root, id)
    assert inputs_match(dataset, place, found) is (None if found.how == "kept" else True)
    if found.how != "kept":
        other = replace(found, intent=replace(found.intent, fields=("image_url",)))
        assert inputs_match(dataset, place, other) is False


def test_a_lookup_reads_the_ledger_of_its_own_batch_only(local_root):
    for batch in ("a", "b"):
        add_batch(local_root, batch, 2)
        Labeller(local_root)(batch, SHARP)
    intent = made(local_root, "a/0").intent
    ledger.append(local_root, [replace(intent, batch="b", run_id="another batch")])
    assert made(local_root, "a/0").intent.run_id == "run"
