"""Any type of value: staged, published, read, relabelled row by row, also after a compaction."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lance_assets.errors import BadInput
from lance_assets.store.cells import Cells
from lance_assets.store.columns import ensure_columns
from lance_assets.store.compact import compact
from lance_assets.store.files import DataRoot
from lance_assets.store.staging import BadStage, publish, stage
from lance_assets.store.staleness import Identity
from lance_assets.store.table import open_images
from lance_assets.store.verify import verify
from lance_assets_tests.labels import Labeller
from lance_assets_tests.unit.store import scenes
from lance_assets_tests.unit.store.scenes import OK, PERMANENT, REFUSED, numbered

COLUMN = "score_any"
STRUCT = pa.struct([("score", pa.float32()), ("why", pa.string())])
MARK = pa.struct([("name", pa.string()), ("score", pa.float32())])
INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]

#: Three values of each type.
VALUES: dict[str, tuple[pa.DataType, list[Any]]] = {
    **{str(type): (type, [0, 1, 100]) for type in INTEGERS},
    **{str(type): (type, [0.5, -1.0, 1024.0]) for type in (pa.float16(), pa.float32(), pa.float64())},
    "bool": (pa.bool_(), [True, False, True]),
    "string": (pa.string(), ["", "ä", "long " * 99]),
    "large string": (pa.large_string(), ["", "ä", "long " * 99]),
    "binary": (pa.binary(), [b"", b"\0x", b"y"]),
    "large binary": (pa.large_binary(), [b"", b"\0x", b"y"]),
    "binary of a size": (pa.binary(2), [b"ab", b"\0\0", b"cd"]),
    "date": (pa.date32(), [date(2026, 1, 1), date(1969, 1, 1), date(2000, 2, 29)]),
    "time": (pa.time64("us"), [time(1, 2, 3), time(0), time(23, 59)]),
    "duration": (pa.duration("us"), [timedelta(1), timedelta(-1), timedelta()]),
    "timestamp": (pa.timestamp("ms"), [datetime(2026, 1, 1), datetime(1969, 1, 1), datetime(2000, 2, 29)]),
    "timestamp in UTC": (
        pa.timestamp("us", tz="UTC"),
        [datetime(year, 1, 1, tzinfo=UTC) for year in (2026, 1969, 2000)],
    ),
    "decimal": (pa.decimal128(10, 2), [Decimal("1.25"), Decimal("-3.00"), Decimal("0.00")]),
    "dictionary": (pa.dictionary(pa.int32(), pa.string()), ["good", "bad", "good"]),
    "list": (pa.list_(pa.float32()), [[1.0, 2.0], [], [None, 3.0]]),
    "large list": (pa.large_list(pa.string()), [["a"], [], ["b", None]]),
    "list of lists": (pa.list_(pa.list_(pa.int64())), [[[1], [2, 3]], [], [[]]]),
    "embedding": (pa.list_(pa.float32(), 3), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.0, 0.0, 0.0]]),
    "struct with nulls": (
        STRUCT,
        [{"score": 1.0, "why": "a"}, {"score": None, "why": "b"}, {"score": 2.0, "why": None}],
    ),
    "list of structs": (pa.list_(MARK), [[{"name": "a", "score": 1.0}], [], [{"name": None, "score": None}]]),
    "struct of lists": (
        pa.struct([("tags", pa.list_(pa.string())), ("vector", pa.list_(pa.float32(), 2))]),
        [
            {"tags": ["a"], "vector": [1.0, 2.0]},
            {"tags": [], "vector": [3.0, 4.0]},
            {"tags": None, "vector": [0.0, 0.0]},
        ],
    ),
}


@pytest.fixture
def root(local_root):
    """A column file says what it holds, wherever it lies; numbers and texts go to S3 in the other tests."""
    return local_root


def stored(root: DataRoot) -> list[object]:
    return [value for _, value in sorted(scenes.values(root, COLUMN).items())]


@pytest.mark.parametrize(("type", "given"), VALUES.values(), ids=VALUES)
def test_a_column_of(root, type, given):
    """Six rows in two fragments; then single rows get other values, lose theirs, and the batch is compacted."""
    scenes.store(root, "a", numbered(3), numbered(3, first=3))
    turn: list[tuple[list[Any], list[int]]] = [(given, [OK] * 3), (given, [OK, PERMANENT, OK])]
    labeller = Labeller(root, cells=lambda one, rows: Cells.of(pa.array(turn[-1][0], type), np.array(turn.pop()[1])))
    identity = Identity(COLUMN, "any", "1", "c0ffee", ("image",), type)
    [outcome] = labeller("a", identity)
    lost, last = ([given[0], None, given[2]], given)
    assert outcome.error is None and stored(root) == [*lost, *last]

    def relabel(number: int, offsets: list[int], values: list[Any], states: list[int]) -> None:
        cells = Cells.of(pa.array(values, type), np.array(states))
        publish(root, [stage(root, open_images(root), number, COLUMN, cells, np.array(offsets))], {})

    relabel(0, [1], [given[1]], [OK])
    relabel(1, [0, 2], [given[2], given[0]], [OK, REFUSED])
    assert stored(root) == [*given, given[2], given[1], None]
    labeller.cells = lambda one, rows: Cells.of(pa.array(given, type), np.zeros(3))
    labeller("a", identity, force=True)
    assert stored(root) == [*given, *given]
    compact(root)
    [(number, _)] = scenes.fragments(root)
    assert stored(root) == [*given, *given] and verify(root, deep=True).clean
    relabel(number, [1, 4], [given[2], given[2]], [OK, PERMANENT])
    assert stored(root) == [given[0], given[2], given[2], given[0], None, given[2]]
    assert scenes.states(root, COLUMN)["a/4"] == PERMANENT


FLOAT, TEXT, LIST = pa.float32(), pa.string(), pa.list_(pa.float32(), 2)


@pytest.mark.parametrize(
    ("type", "given", "said"),
    [
        (FLOAT, pa.array(["1.5"] * 4), "string values for a column of float"),
        (FLOAT, pa.array([True] * 4), "bool values for a column of float"),
        (FLOAT, pa.array([[1.0]] * 4), "list<item: double> values for a column of float"),
        (FLOAT, pa.array([2**53 + 1] * 4), "Integer value 9007199254740993 not in range"),
        (TEXT, pa.array([1.5] * 4), "double values for a column of string"),
        (TEXT, pa.array([b"\xff"] * 4), "binary values for a column of string"),
        (pa.int8(), pa.array([1, 2, 300, 4]), "Integer value 300 not in range"),
        (pa.uint8(), pa.array([1, 2, -3, 4]), "Integer value -3 not in range"),
        (pa.int32(), pa.array([1.0, 1.5, 2.0, 3.0]), "Float value 1.5"),
        (LIST, pa.array([[1.0, 2.0], [1.0], [1.0, 2.0], [1.0, 2.0]]), "fixed_size_list|FixedSizeList"),
        (LIST, pa.array([1.0] * 4), "fixed_size_list|FixedSizeList"),
        (STRUCT, pa.array([1.0] * 4), "struct"),
        (pa.timestamp("ms"), pa.array([datetime(2026, 1, 1, microsecond=5)] * 4), "would lose data"),
        (pa.bool_(), pa.array([0.7] * 4), "double values for a column of bool"),
        (pa.float32(), pa.array([1e300] * 4), "is beyond float"),
        (pa.timestamp("ms"), pa.array([5] * 4), "int64 values for a column of timestamp"),
        (pa.list_(pa.float32()), pa.array([["1.5"]] * 4), "string"),
        (pa.struct([("a", pa.int32())]), pa.array([{"a": 1, "b": 2}] * 4), "struct"),
        (pa.struct([("a", pa.int32())]), pa.array([{"c": 1}] * 4), "struct"),
    ],
)
def test_values_that_do_not_fit_are_refused_and_name_column_and_fragment(root, type, given, said):
    scenes.store(root, "a", numbered(4))
    dataset = ensure_columns(root, {COLUMN: type})
    before = scenes.data_files(root)
    with pytest.raises(BadStage, match=f"^{COLUMN} of fragment 0: .*({said})"):
        stage(root, dataset, 0, COLUMN, Cells.of(given, np.zeros(4)))
    assert scenes.data_files(root) == before


def floats(*values: float | None) -> pa.Array:
    return pa.array(values, FLOAT)


@pytest.mark.parametrize(
    ("values", "states", "offsets", "said"),
    [
        (floats(1, None, 3, 4), [0, 0, 0, 0], None, "row 1 is ok without a value"),
        (floats(1, float("nan"), 3, 4), [0, 0, 0, 0], None, "row 1 is ok without a value"),
        (floats(5, None), [0, 0], [0, 3], "row 3 is ok without a value"),
        (floats(1, 2, 3, 4), [0, 0, 9, 0], None, "state 9 is unknown"),
        (floats(1, 2, 3), [0, 0, 0], None, "3 values for 4 rows"),
        (floats(1), [0], [0, 1], "1 values for 2 rows"),
        (floats(1, 2), [0, 0], [1, 1], "offsets must ascend within 0..3"),
        (floats(1, 2), [0, 0], [2, 1], "offsets must ascend within 0..3"),
        (floats(1, 2), [0, 0], [0, 4], "offsets must ascend within 0..3"),
        (floats(1, 2), [0, 0], [-1, 0], "offsets must ascend within 0..3"),
    ],
)
def test_cells_that_contradict_themselves_are_refused(root, values, states, offsets, said):
    scenes.store(root, "a", numbered(4))
    dataset = ensure_columns(root, {COLUMN: FLOAT})
    with pytest.raises(BadStage, match=f"^{COLUMN} of fragment 0: {said}$"):
        at = None if offsets is None else np.array(offsets)
        stage(root, dataset, 0, COLUMN, Cells.of(values, np.array(states)), at)


def test_a_cell_that_is_not_ok_has_no_value_whatever_was_given(root):
    scenes.store(root, "a", numbered(4))
    dataset = ensure_columns(root, {COLUMN: FLOAT})
    cells = Cells.of(floats(1, float("nan"), 3, 4), np.array([0, 1, 2, 3]))
    publish(root, [stage(root, dataset, 0, COLUMN, cells)], {})
    assert list(scenes.cells(root, COLUMN).values()) == [(1.0, 0), (None, 1), (None, 2), (None, 3)]


def test_a_column_that_exists_with_another_type_is_bad_input_and_names_both(root):
    scenes.store(root, "a", numbered(4))
    version = ensure_columns(root, {COLUMN: FLOAT}).version
    with pytest.raises(BadInput, match=f"column {COLUMN} .* holds float, its scorer gives string"):
        ensure_columns(root, {"score_other": FLOAT, COLUMN: TEXT})
    assert open_images(root).version == version


def test_a_type_that_lance_cannot_store_is_bad_input_before_anything_is_added(root):
    scenes.store(root, "a", numbered(4))
    version = open_images(root).version
    with pytest.raises(BadInput, match=r"map.*list of structs"):
        ensure_columns(root, {COLUMN: pa.map_(pa.string(), FLOAT)})
    assert open_images(root).version == version
