"""Verification names each damaged file and the cells to relabel; then exactly these are scored again."""

import lance
import numpy as np
import pyarrow as pa
import pytest
from lance.file import LanceFileWriter

from lance_assets.store.cells import Cells
from lance_assets.store.columns import column_file, ensure_columns, state_of
from lance_assets.store.compact import Damaged, compact
from lance_assets.store.files import delete, write
from lance_assets.store.fragments import DATA, fragment_at, image_file
from lance_assets.store.staging import publish, stage
from lance_assets.store.staleness import stale_cells
from lance_assets.store.table import batch_fragments, open_images
from lance_assets.store.verify import relabel, verify
from lance_assets_tests.labels import SHARP, WORDS, Labeller
from lance_assets_tests.tables import add_batch, image_rows


@pytest.fixture
def labelled(root):
    add_batch(root, "a", 12, fragments=2)
    Labeller(root)("a", SHARP, WORDS)
    return root


def score_file(root, column="score_sharp", nth=0):
    dataset = open_images(root)
    number = batch_fragments(dataset, "a")[nth]
    return number, column_file(dataset, fragment_at(dataset, number), column)


def overwrite(root, name, values, states, type=None) -> None:
    """A whole Lance file of other content under the name of a published one."""
    type = type or pa.float32()
    schema = pa.schema([("score_sharp", type), (state_of("score_sharp"), pa.uint8())])
    with LanceFileWriter(f"{root.images}/data/{name}", schema, version="2.1") as writer:
        writer.write_batch(pa.record_batch([pa.array(values, type), pa.array(states, pa.uint8())], schema=schema))


def found(root, deep=False):
    return [(one.kind, one.column, one.fragment) for one in verify(root, deep).problems]


def test_a_healthy_table_is_clean(labelled):
    seen = verify(labelled, deep=True)
    assert (seen.clean, seen.fragments, seen.files, seen.orphans) == (True, 2, 6, [])


def test_a_missing_file_is_named_with_its_cells(labelled):
    number, name = score_file(labelled)
    delete(labelled, f"{DATA}/{name}")
    assert found(labelled) == [("unreadable", "score_sharp", number)]
    assert verify(labelled).problems[0].file == name


def test_garbage_is_unreadable(labelled):
    number, name = score_file(labelled, nth=1)
    write(labelled, f"{DATA}/{name}", b"garbage")
    assert found(labelled) == [("unreadable", "score_sharp", number)]


@pytest.mark.parametrize(("rows", "kind"), [(5, "short"), (7, "long")])
def test_a_short_or_long_file_is_told(labelled, rows, kind):
    number, name = score_file(labelled)
    overwrite(labelled, name, [1.0] * rows, [0] * rows)
    assert found(labelled) == [(kind, "score_sharp", number)]


def test_a_wrongly_typed_file_is_told(labelled):
    number, name = score_file(labelled)
    overwrite(labelled, name, [1.0] * 6, [0] * 6, pa.float64())
    assert found(labelled) == [("wrong_type", "score_sharp", number)]


def test_other_values_of_the_right_shape_are_known_by_their_checksum(labelled):
    number, name = score_file(labelled)
    overwrite(labelled, name, [91.25, 3.5, 44.125, 7.75, 60.0625, 12.375], [0] * 6)
    assert found(labelled) == [("changed", "score_sharp", number)]


def test_a_column_that_nobody_announced_is_unexplained(labelled):
    ensure_columns(labelled, {"score_odd": pa.float32()})
    dataset = open_images(labelled)
    number = batch_fragments(dataset, "a")[0]
    cells = Cells.of(np.arange(6.0), np.zeros(6, np.uint8))
    publish(labelled, [stage(labelled, dataset, number, "score_odd", cells)], {})
    assert ("unexplained", "score_odd", number) in found(labelled)


def test_a_fragment_that_mixes_batches_is_told(labelled):
    mixed = pa.Table.from_batches([image_rows("a", 2, first=300), image_rows("b", 2, first=400)])
    lance.write_dataset(mixed, labelled.images, mode="append")
    assert [one.kind for one in verify(labelled).problems] == ["mixed"]


def test_a_row_that_is_there_twice_is_told(labelled):
    lance.write_dataset(pa.Table.from_batches([image_rows("a", 2)]), labelled.images, mode="append")
    [problem] = verify(labelled).problems
    assert (problem.kind, problem.column) == ("duplicate", None) and "2 ids" in problem.detail


def test_a_lost_image_file_hurts_the_images(labelled):
    dataset = open_images(labelled)
    number = batch_fragments(dataset, "a")[0]
    delete(labelled, f"{DATA}/{image_file(dataset, fragment_at(dataset, number))}")
    assert found(labelled) == [("unreadable", None, number)]


def test_images_that_are_not_those_of_their_digests_are_found_by_a_deep_look(labelled):
    rows = pa.Table.from_batches([image_rows("a", 2, first=500)])
    digests = pa.array(["0" * 64] * 2)
    rows = rows.set_column(rows.schema.get_field_index("image_sha256"), "image_sha256", digests)
    lance.write_dataset(rows, labelled.images, mode="append")
    assert verify(labelled).clean
    assert [one.kind for one in verify(labelled, deep=True).problems] == ["wrong_image"] * 2


def test_relabelling_what_was_found_scores_exactly_the_damaged_cells(labelled):
    number, name = score_file(labelled)
    before = open_images(labelled).to_table(columns=["id", "score_sharp"]).sort_by("id")
    write(labelled, f"{DATA}/{name}", b"garbage")
    assert relabel(labelled, verify(labelled).problems) == 1
    dataset = open_images(labelled)
    assert [(c.fragment, c.column, c.reason) for c in stale_cells(labelled, dataset, "a", [SHARP, WORDS])] == [
        (number, "score_sharp", "damaged")
    ]
    labeller = Labeller(labelled)
    labeller("a", SHARP, WORDS)
    assert labeller.calls == [("score_sharp", number, 6)]
    assert verify(labelled, deep=True).clean
    assert open_images(labelled).to_table(columns=["id", "score_sharp"]).sort_by("id").equals(before)


def test_a_damaged_column_is_not_carried_over_and_costs_the_batch_nothing_else(labelled):
    _, name = score_file(labelled)
    write(labelled, f"{DATA}/{name}", b"garbage")
    add_batch(labelled, "a", 12, fragments=3)
    dataset = open_images(labelled)
    assert {cell.column for cell in stale_cells(labelled, dataset, "a", [SHARP, WORDS])} == {"score_sharp"}
    assert verify(labelled, deep=True).clean


def test_a_marked_cell_is_neither_carried_over_nor_compacted_before_it_is_scored_again(labelled):
    number, name = score_file(labelled)
    write(labelled, f"{DATA}/{name}", b"garbage")
    relabel(labelled, verify(labelled).problems)
    with pytest.raises(Damaged, match=f"score_sharp of batch a, fragment {number}"):
        compact(labelled)
    add_batch(labelled, "a", 12, fragments=3)
    labeller = Labeller(labelled)
    labeller("a", SHARP, WORDS)
    assert {column for column, _, _ in labeller.calls} == {"score_sharp"}
    compact(labelled)
    assert verify(labelled, deep=True).clean
