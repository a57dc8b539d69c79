"""What Lance takes without looking (measured with pylance 14): our way in refuses it before the commit, and where
somebody did it behind our back, it is found, named and scored again.

Each test shows first that Lance does take it: on the day that it refuses, the guard may go."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pytest
from lance.fragment import DataFile

from lance_assets.store import ledger
from lance_assets.store.cells import Cells
from lance_assets.store.columns import Superseded, ensure_columns, field_ids
from lance_assets.store.files import DataRoot, delete, read, write
from lance_assets.store.intents import announced
from lance_assets.store.labelling import Job
from lance_assets.store.staging import BadStage, StagedFileGone, publish, restage, stage
from lance_assets.store.table import open_images
from lance_assets.store.verify import verify
from lance_assets_tests.labels import SHARP, WORDS, Labeller
from lance_assets_tests.tables import add_batch
from lance_assets_tests.unit.store import scenes

SCORE, STATE = SHARP.column, f"{SHARP.column}__state"
NUMBERS = [n + 0.5 for n in range(12)]


def floats(rows: int, type: pa.DataType | None = None) -> dict[str, pa.Array]:
    return {SCORE: pa.array(NUMBERS[:rows], type or pa.float32()), STATE: pa.array([0] * rows, pa.uint8())}


SHORT, LONG, DOUBLES = floats(9), floats(11), floats(10, pa.float64())
TEXTS = {**floats(10), SCORE: pa.array([str(n) for n in range(10)])}
UNREADABLE, GARBAGE, PLAUSIBLE = "unreadable", "garbage", "plausible"


@pytest.fixture
def table(root: DataRoot) -> DataRoot:
    """One batch of ten rows in one fragment, with a column that nobody filled."""
    add_batch(root, "a", 10)
    ensure_columns(root, {SCORE: pa.float32()})
    return root


def raw_read(root: DataRoot) -> str:
    """What a reader of the column gets."""
    try:
        got = open_images(root).to_table(columns=[SCORE])[SCORE].to_pylist()
    except (OSError, ValueError):
        return UNREADABLE
    return PLAUSIBLE if got == NUMBERS[:10] else GARBAGE


def found_and_mended(root: DataRoot, name: str, kind: str) -> None:
    """The bad file is named by `verify`, its cells are unknown, and one pass scores each once."""
    problems = verify(root).problems
    assert {(problem.file, problem.column) for problem in problems} == {(name, SCORE)}
    assert kind in {problem.kind for problem in problems}
    assert scenes.reasons(root, "a", SHARP) == ["unknown"]
    labeller = Labeller(root)
    [outcome] = labeller("a", SHARP)
    assert outcome.error is None and labeller.rows == 10
    assert scenes.values(root, SCORE) == scenes.right(root, SHARP)[SCORE]
    assert verify(root, deep=True).clean and scenes.reasons(root, "a", SHARP) == []


@pytest.mark.parametrize(
    ("columns", "version", "read_as", "kind"),
    [
        pytest.param(SHORT, None, UNREADABLE, "short", id="a file that is too short"),
        pytest.param(LONG, None, PLAUSIBLE, "long", id="a file that is too long"),
        pytest.param(DOUBLES, None, GARBAGE, "wrong_type", id="float64 in a float32 column"),
        pytest.param(TEXTS, None, UNREADABLE, "wrong_type", id="text in a float32 column"),
        pytest.param(floats(10), "2.2", PLAUSIBLE, "unexplained", id="a 2.2 file in a 2.1 table"),
    ],
)
def test_a_bad_file_committed_behind_our_back_is_named_and_its_cells_are_scored_again(
    table: DataRoot, columns: Mapping[str, pa.Array], version: str | None, read_as: str, kind: str
):
    name = scenes.raw_file(table, columns, version)
    scenes.raw_commit(table, 0, DataFile.create(open_images(table), name))
    assert raw_read(table) == read_as
    found_and_mended(table, name, kind)


def test_a_missing_file_committed_behind_our_back_is_named_and_its_cells_are_scored_again(table):
    name = scenes.raw_file(table, floats(10))
    file = DataFile.create(open_images(table), name)
    delete(table, f"images.lance/data/{name}")
    scenes.raw_commit(table, 0, file)
    assert raw_read(table) == UNREADABLE
    found_and_mended(table, name, "unreadable")


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (SHORT, "9 values for 10 rows"),
        (LONG, "11 values for 10 rows"),
        (TEXTS, "string values for a column of float"),
    ],
    ids=["short", "long", "text"],
)
def test_values_that_do_not_fit_are_refused_before_anything_is_written(table, cells, said):
    before, version = scenes.data_files(table), open_images(table).version
    with pytest.raises(BadStage, match=f"^{SCORE} of fragment 0: {said}$"):
        stage(table, open_images(table), 0, SCORE, Cells(cells[SCORE], cells[STATE]))
    assert scenes.data_files(table) == before and open_images(table).version == version


def test_float64_values_are_cast_so_that_the_file_has_the_type_and_version_of_the_column(table):
    dataset = open_images(table)
    one = stage(table, dataset, 0, SCORE, Cells(DOUBLES[SCORE], DOUBLES[STATE]))
    assert f"{one.file.file_major_version}.{one.file.file_minor_version}" == dataset.data_storage_version == "2.1"
    publish(table, [one], {})
    assert raw_read(table) == PLAUSIBLE


def test_a_staged_file_that_went_missing_is_not_published(table):
    one = scenes.staged(table, 0, SCORE, 1.0)
    delete(table, f"images.lance/data/{one.name}")
    version = open_images(table).version
    with pytest.raises(StagedFileGone, match=f"{one.name}, staged for {SCORE} of fragment 0, is gone"):
        publish(table, [one], {})
    assert open_images(table).version == version


@pytest.mark.parametrize("columns", [SHORT, LONG, DOUBLES, TEXTS], ids=["short", "long", "float64", "text"])
def test_an_announced_file_that_is_another_by_now_is_scored_again(table, columns):
    labeller = Labeller(table)
    killed = labeller.jobs([SHARP])
    dataset = open_images(table)
    [(_, parts)] = killed(dataset.version, [Job(0, {SCORE: None})])
    assert isinstance(parts, list)
    ledger.append(table, announced(parts[0], "a", SHARP, "run", [], {}))
    other = read(table, f"images.lance/data/{scenes.raw_file(table, columns)}")
    write(table, f"images.lance/data/{parts[0].staged.name}", other)
    assert labeller.rows == 10
    labeller("a", SHARP)
    assert labeller.rows == 20
    assert scenes.values(table, SCORE) == scenes.right(table, SHARP)[SCORE]


def test_a_file_for_a_dropped_and_re_added_column_is_lost_by_lance_and_refused_by_us(table):
    ensure_columns(table, {WORDS.column: pa.float32()})  # so that the re-added column gets other field ids
    one = scenes.staged(table, 0, SCORE, 1.0)
    open_images(table).drop_columns([SCORE, STATE])
    ensure_columns(table, {SCORE: pa.float32()})
    with pytest.raises(Superseded, match=f"column {SCORE} was re-created"):
        publish(table, [one], {})
    dataset = scenes.raw_commit(table, 0, one.file)
    assert dataset.to_table(columns=[SCORE])[SCORE].null_count == 10
    assert scenes.reasons(table, "a", SHARP) == ["new"]


def test_a_file_for_a_column_re_added_with_the_old_field_ids_and_another_type_is_refused(table):
    one = scenes.staged(table, 0, SCORE, 1.0)
    open_images(table).drop_columns([SCORE, STATE])
    dataset = ensure_columns(table, {SCORE: pa.float64()})
    assert field_ids(dataset, SCORE) == one.fields  # so nothing but the type tells
    with pytest.raises(Superseded, match=f"column {SCORE} was re-created"):
        publish(table, [one], {})
    assert restage(table, dataset, 0, SCORE, one.name) is None
    dataset = scenes.raw_commit(table, 0, one.file)
    with pytest.raises((OSError, ValueError)):
        dataset.to_table(columns=[SCORE])
