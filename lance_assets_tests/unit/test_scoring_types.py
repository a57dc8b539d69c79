"""Scorers give values of any Arrow type: what does not fit fails its own row, with a sentence, and no other one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lance_assets.scoring.api import Item, Rows, RowScorer, ScoreFailure, Scorer, State
from lance_assets.scoring.passes import Scored, score_items

PAIR = pa.struct([("left", pa.int32()), ("right", pa.float32())])
OK, BAD, REFUSED = int(State.OK), int(State.FAILED_PERMANENT), int(State.REFUSED)


class Gives(Scorer):
    """Gives what it was made with, whatever it is asked for."""

    name, version, fields, description = "gives", "1", ("messages",), "as told"

    def __init__(self, type: pa.DataType, outcomes: Any) -> None:
        super().__init__()
        self.type, self.outcomes = type, outcomes

    def score(self, items: Sequence[Item]) -> Any:
        return self.outcomes


def scored(type: pa.DataType, outcomes: Any) -> Scored:
    return score_items({"gives": Gives(type, outcomes)}, [Item(str(at)) for at in range(len(outcomes))])["gives"]


@pytest.mark.parametrize(
    ("type", "outcomes"),
    [
        (pa.int32(), [1, -2]),
        (pa.int32(), [1.0, np.int64(2)]),
        (pa.float32(), [1, 0.5]),
        (pa.float64(), [np.float32(0.5), 2]),
        (pa.float32(), [20_000_001, np.int64(20_000_001)]),
        (pa.string(), ["", "zwölf 十二"]),
        (pa.bool_(), [True, False]),
        (pa.list_(pa.int64()), [[], [1, 2]]),
        (pa.list_(pa.float32(), 2), [np.array([1.0, 2.0]), [3.0, 4.0]]),
        (PAIR, [{"left": 1, "right": 0.5}, {"left": 2, "right": None}]),
        (pa.binary(), [b"", b"\0\xff"]),
    ],
)
def test_values_of_any_type_are_kept_as_that_type(type: pa.DataType, outcomes: list[Any]) -> None:
    column = scored(type, outcomes)
    assert column.states.tolist() == [OK, OK] and column.messages == {}
    assert column.values.type == type
    assert column.values.to_pylist() == pa.array([_plain(value, type) for value in outcomes], type).to_pylist()


def _plain(value: Any, type: pa.DataType) -> Any:
    return float(value) if pa.types.is_floating(type) else value


@pytest.mark.parametrize(
    ("type", "wrong"),
    [
        (pa.float32(), float("nan")),
        (pa.float32(), float("inf")),
        (pa.float32(), 1e300),
        (pa.float32(), 10**400),
        (pa.float32(), None),
        (pa.float32(), "12"),
        (pa.int32(), 1.5),
        (pa.int32(), 2**40),
        (pa.int32(), "12"),
        (pa.string(), 12),
        (pa.bool_(), 1),
        (pa.list_(pa.int64()), [1, "x"]),
        (pa.list_(pa.float32(), 2), [1.0]),
        (pa.list_(pa.float32(), 2), [1.0, float("nan")]),
        (pa.list_(pa.float32()), [float("-inf")]),
        (PAIR, {"left": 1, "right": float("nan")}),
        (pa.list_(PAIR), [{"left": 1, "right": float("inf")}]),
        (PAIR, 3),
        (pa.float32(), object()),
    ],
)
def test_a_value_that_does_not_fit_fails_its_row_alone_and_is_shown(type: pa.DataType, wrong: Any) -> None:
    good = {pa.string(): "x", pa.bool_(): True, PAIR: {"left": 1, "right": 1.0}}.get(type, 1)
    if pa.types.is_list(type) or pa.types.is_fixed_size_list(type):
        good = [] if pa.types.is_list(type) else [1.0, 2.0]
    column = scored(type, [good, wrong, good])
    assert column.states.tolist() == [OK, BAD, OK]
    assert column.values.is_valid().to_pylist() == [True, False, True]
    assert column.messages[1].startswith("the scorer gives gave ") and len(column.messages[1]) <= 300
    assert list(column.messages) == [1]


@pytest.mark.parametrize("kind", ["numpy", "arrow", "chunked"])
def test_arrays_are_taken_as_a_whole_and_only_what_is_not_finite_fails(kind: str) -> None:
    numbers = np.array([1.0, float("nan"), 3.0])
    arrow = pa.array(numbers)
    given = {"numpy": numbers, "arrow": arrow, "chunked": pa.chunked_array([arrow[:1], arrow[1:]])}[kind]
    column = scored(pa.float32(), given)
    assert column.states.tolist() == [OK, BAD, OK] and column.values.type == pa.float32()
    assert column.messages == {1: "the scorer gives gave nan, not a finite number"}


def test_an_array_of_vectors_is_a_column_of_lists() -> None:
    column = scored(pa.list_(pa.float32(), 2), np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert column.values.to_pylist() == [[1.0, 2.0], [3.0, 4.0]]


def test_an_array_of_another_type_loses_nothing_or_fails() -> None:
    column = scored(pa.int32(), pa.array([1.0, 1.5]))
    assert column.states.tolist() == [OK, BAD] and column.values.to_pylist() == [1, None]
    assert scored(pa.float32(), pa.array(["1", "2"])).states.tolist() == [BAD, BAD], "text is no number"
    assert scored(pa.string(), pa.array([1, 2])).states.tolist() == [BAD, BAD]
    assert scored(pa.float32(), np.array(["1", "2"])).states.tolist() == [BAD, BAD]


def test_failures_in_an_array_of_objects_keep_their_state() -> None:
    refusal = ScoreFailure(State.REFUSED, "not me")
    column = scored(pa.float32(), np.array([1.0, refusal], object))
    assert column.states.tolist() == [OK, REFUSED] and column.messages == {1: "not me"}


@pytest.mark.parametrize("outcomes", [[1.0], [1.0] * 3, pa.array([1.0]), None, 5.0])
def test_anything_but_one_value_per_row_fails_instead_of_shifting_rows(outcomes: Any) -> None:
    scorer = Gives(pa.float32(), outcomes)
    column = score_items({"gives": scorer}, [Item("a"), Item("b")])["gives"]
    if isinstance(outcomes, list | pa.Array) and len(outcomes) == 1:
        assert column.states.tolist() == [OK, OK], "asked for one row at a time it gives one value"
    else:
        assert column.states.tolist() == [BAD, BAD] and set(column.messages) == {0, 1}


def test_a_scorer_of_columns_may_give_what_arrow_calculates_and_makes_no_item() -> None:
    class Area(Scorer):
        name, version, fields, description, type = "area", "1", ("width", "height"), "pixels", pa.int64()

        def score(self, items: Sequence[Item]) -> Any:
            assert isinstance(items, Rows)
            return pc.call_function("multiply", [items.table["width"], items.table["height"]])

    rows = Rows(pa.table({"id": ["a", "b"], "width": [2, 3], "height": [4, 5]}), lambda said: "")
    assert score_items({"area": Area()}, rows)["area"].values.to_pylist() == [8, 15]
    assert rows._items is None


def test_halves_that_come_as_arrays_are_joined() -> None:
    class Picky(Scorer):
        name, version, fields, description, type = "picky", "1", ("messages",), "x", pa.float32()

        def score(self, items: Sequence[Item]) -> Any:
            if any(item.caption == "bad" for item in items):
                raise RuntimeError("no")
            return pa.array([float(item.id) for item in items])

    rows = [Item(str(at), "bad" if at == 2 else "") for at in range(5)]
    column = score_items({"picky": Picky()}, rows)["picky"]
    assert column.values.to_pylist() == [0.0, 1.0, None, 3.0, 4.0]


def test_what_a_row_scorer_raises_fails_that_row_by_its_kind() -> None:
    class Moody(RowScorer):
        name, version, fields, description = "moody", "1", ("messages",), "x"

        def score_one(self, item: Item) -> float:
            raise {"m": MemoryError(), "c": ConnectionResetError("gone"), "k": KeyError("x")}[item.id]

    column = score_items({"moody": Moody()}, [Item("m"), Item("c"), Item("k")])["moody"]
    assert column.states.tolist() == [State.FAILED_TRANSIENT, State.FAILED_TRANSIENT, BAD]
    assert column.messages == {0: "MemoryError", 1: "ConnectionResetError: gone", 2: "KeyError: 'x'"}
