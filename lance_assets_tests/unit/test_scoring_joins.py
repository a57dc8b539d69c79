"""Scorers that read the columns of others: what makes those is part of what they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lance_assets.errors import BadInput
from lance_assets.scoring.api import Item, Rows, Scorer, State
from lance_assets.scoring.passes import Scored, score_items
from lance_assets.scoring.registry import Entry, configured, join
from lance_assets_tests.scorers import Counted, Plus, joined


class Doubled(Scorer):
    """Twice another column, by columns; `asked` counts rows. `gives` makes of the result what it returns."""

    name, version, fields, description = "doubled", "1", ("score_counted",), "twice"

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.gives: Any = lambda column: column

    def score(self, items: Sequence[Item]) -> Any:
        assert isinstance(items, Rows)
        self.asked += len(items)
        return self.gives(pc.call_function("multiply", [items.table["score_counted"], pa.scalar(2)]))


def rows(*values: float | None) -> Rows:
    table = pa.table({"id": [str(at) for at in range(len(values))], "score_counted": pa.array(values, pa.float32())})
    return Rows(table, lambda said: "")


def doubled(items: Rows, scorer: Doubled | None = None) -> Scored:
    return score_items({"doubled": scorer or Doubled()}, items)["doubled"]


@pytest.mark.parametrize("kind", ["chunked", "arrow", "numpy", "list"])
def test_a_row_without_a_value_there_fails_in_passing_and_is_not_asked_for(kind: str) -> None:
    scorer = Doubled()
    scorer.gives = {
        "chunked": lambda column: column,
        "arrow": lambda column: pa.array(column.to_numpy().astype(np.float64)),
        "numpy": lambda column: column.to_numpy(),
        "list": lambda column: column.to_pylist(),
    }[kind]
    items = rows(1.0, None, 3.0, None)
    column = doubled(items, scorer)
    assert column.values.to_pylist() == [2.0, None, 6.0, None] and scorer.asked == 2
    assert column.states.tolist() == [0, State.FAILED_TRANSIENT, 0, State.FAILED_TRANSIENT]
    assert column.messages == dict.fromkeys((1, 3), "score_counted has no value yet")
    assert items._items is None, "no item is made for a scorer of columns"


def test_where_no_row_has_a_value_nothing_is_asked_for() -> None:
    scorer = Doubled()
    assert doubled(rows(None, None), scorer).states.tolist() == [State.FAILED_TRANSIENT] * 2
    without = Rows(pa.table({"id": ["a"]}), lambda said: "")
    assert doubled(without, scorer).messages == {0: "score_counted has no value yet"}
    assert scorer.asked == 0


def test_items_may_bring_the_values_of_other_columns() -> None:
    some = [Item("a", others={"score_counted": 3.0}), Item("b")]
    column = score_items({"plus": Plus()}, some)["plus"]
    assert (column.values.to_pylist(), column.messages) == ([13.0, None], {1: "score_counted has no value yet"})


def test_the_hash_moves_with_version_and_config_of_what_is_read() -> None:
    def of(version: str) -> str:
        return joined(Counted(version=version), Plus())["plus"].config_hash()

    assert of("1") == of("1") != of("2") and of("1") != Plus().config_hash()
    third = joined(Counted(), Plus(), Counted("third", fields=["score_plus"]))["third"]
    moved = joined(Counted(version="2"), Plus(), Counted("third", fields=["score_plus"]))["third"]
    assert third.config_hash() != moved.config_hash(), "also through another column"


def test_inputs_are_the_columns_behind_the_columns_that_are_read() -> None:
    made = joined(Counted(fields=["messages", "image"]), Plus(), Counted("third", fields=["score_plus", "width"]))
    assert made["plus"].inputs == ("image", "messages") and made["third"].inputs == ("image", "messages", "width")


def test_a_column_that_no_scorer_makes_is_named() -> None:
    with pytest.raises(BadInput, match="the scorer plus reads score_counted, and no scorer counted is configured"):
        join({"plus": Plus()})


def test_scorers_that_read_each_other_are_named_and_no_other() -> None:
    first = Counted("first", fields=["score_second"])
    second = Counted("second", fields=["score_third"])
    third = Counted("third", fields=["score_second"])
    with pytest.raises(BadInput, match=r"^the scorers second and third read each other's columns"):
        joined(first, second, third)
    with pytest.raises(BadInput, match=r"^the scorers me read each other's columns"):
        joined(Counted("me", fields=["score_me"]))


def test_a_platform_joins_its_scorers() -> None:
    uses = "lance_assets_tests.scorers:Plus"
    with pytest.raises(BadInput, match="reads score_counted"):
        configured([Entry("plus", uses), Entry("sharpness")])
