"""A pass over many rows: poisonous rows cost little, what may pass is not asked again, memory is bounded."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from lance_assets.scoring import passes
from lance_assets.scoring.api import Item, Rows, ScoreFailure, Scorer, State
from lance_assets.scoring.passes import score_items


class Counting(Scorer):
    """Gives 1 for each row; raises `error` for a batch that holds one of `bad`. `asked` = the sizes of its calls."""

    name, version, fields, description = "counting", "1", ("messages",), "1 each"

    def __init__(self, error: Exception | None = None, bad: Sequence[int] = ()) -> None:
        super().__init__()
        self.error, self.bad = error, {str(at) for at in bad}
        self.asked: list[int] = []

    def score(self, items: Sequence[Item]) -> Any:
        self.asked.append(len(items))
        if self.error is not None and any(item.id in self.bad for item in items):
            raise self.error
        return [1.0] * len(items)


def items(count: int) -> list[Item]:
    return [Item(str(at)) for at in range(count)]


@pytest.mark.parametrize("bad", [0, 1, 500, 999, 1023])
def test_one_poisonous_row_of_1024_costs_about_twice_the_logarithm(bad: int) -> None:
    scorer = Counting(ValueError("poison"), [bad])
    column = score_items({"counting": scorer}, items(1024))["counting"]
    assert [at for at, state in enumerate(column.states) if state] == [bad]
    assert len(scorer.asked) <= 1 + 2 * math.log2(1024)


def test_two_poisonous_rows_fail_alone() -> None:
    scorer = Counting(ValueError("poison"), [3, 90])
    column = score_items({"counting": scorer}, items(100))["counting"]
    assert [at for at, state in enumerate(column.states) if state] == [3, 90]


@pytest.mark.parametrize("error", [TimeoutError("5 s"), ConnectionRefusedError("nobody"), BrokenPipeError("gone")])
def test_no_connection_or_time_fails_the_batch_in_passing_and_is_not_asked_again(error: Exception) -> None:
    scorer = Counting(error, [7])
    column = score_items({"counting": scorer}, items(64))["counting"]
    assert scorer.asked == [64]
    assert set(column.states.tolist()) == {State.FAILED_TRANSIENT}
    assert column.messages[63] == f"{type(error).__name__}: {error}"


def test_a_scorer_that_says_the_whole_batch_failed_in_passing_is_believed() -> None:
    scorer = Counting(ScoreFailure(State.FAILED_TRANSIENT, "the budget is spent"), [7])
    column = score_items({"counting": scorer}, items(64))["counting"]
    assert scorer.asked == [64] and column.messages[0] == "the budget is spent"


def test_a_row_that_is_refused_in_a_batch_is_found() -> None:
    scorer = Counting(ScoreFailure(State.REFUSED, "not this one"), [7])
    column = score_items({"counting": scorer}, items(64))["counting"]
    assert column.messages == {7: "not this one"} and column.states[7] == State.REFUSED


class Watching(Scorer):
    """Decodes every picture; `held` = how many pixels were decoded at a time, by call."""

    name, version, fields, description = "watching", "1", ("image",), "pixels"

    def __init__(self) -> None:
        super().__init__()
        self.held: list[int] = []

    def score(self, items: Sequence[Item]) -> Any:
        widths = [item.image.width * item.image.height for item in items]
        self.held.append(sum(widths))
        return [float(width) for width in widths]


def png(side: int) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (side, side)).save(sink, "PNG")
    return sink.getvalue()


def rows(sides: Sequence[int | None], known: bool = True) -> Rows:
    table = pa.table(
        {
            "id": [str(at) for at in range(len(sides))],
            "image": pa.array([png(side or 10) for side in sides], pa.binary()),
        }
    )
    for name in ("width", "height") if known else ():
        table = table.append_column(name, pa.array(sides, pa.int32()))
    return Rows(table, lambda said: "")


def test_only_so_many_pixels_are_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "PIXELS", 250)
    scorer = Watching()
    column = score_items({"watching": scorer}, rows([10, 10, 10, 5, 30, 10]))["watching"]
    assert scorer.held == [200, 125, 900, 100], "a picture that is too large for itself comes alone"
    assert column.values.to_pylist() == [100, 100, 100, 25, 900, 100]


def test_pictures_of_unknown_size_count_as_large_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "PIXELS", 2 * passes.UNKNOWN_PIXELS)
    for table in (rows([10] * 5, known=False), rows([None] * 5)):
        scorer = Watching()
        score_items({"watching": scorer}, table)
        assert scorer.held == [200, 200, 100]


def test_messages_are_those_of_their_rows_across_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "PIXELS", 250)
    column = score_items({"counting": Counting(ValueError("x"), [4])}, rows([10] * 6))["counting"]
    assert column.messages == {4: "ValueError: x"} and column.states.tolist() == [0, 0, 0, 0, 2, 0]


def test_pictures_are_freed_after_the_scorers_saw_them() -> None:
    seen: list[Item] = []

    class Keeping(Watching):
        def score(self, items: Sequence[Item]) -> Any:
            seen.extend(items)
            return super().score(items)

    score_items({"watching": Keeping()}, rows([10, 10]))
    assert [(item._pictures, item._lumas) for item in seen] == [({}, {})] * 2


def test_no_rows_and_no_scorers_give_nothing() -> None:
    assert score_items({}, rows([10])) == {}
    column = score_items({"watching": Watching()}, rows([]))["watching"]
    assert len(column.values) == 0 and column.values.type == pa.float32()


def test_items_of_rows_are_made_once_and_shared_by_slices_and_selections() -> None:
    some = rows([10, 20, 30])
    assert some[0] is some[0] and some[:2][1] is some[1] and some.take([2, 0])[0] is some[2]
    assert [item.width for item in some.take([2, 0])] == [30, 10]
    assert some[-1].id == "2" and [item.id for item in some[1:99]] == ["1", "2"] and len(some[2:1]) == 0
    assert len(some.take([])) == 0


def test_slices_and_selections_of_rows_without_items_make_their_own() -> None:
    some = rows([10, 20, 30])
    assert some.take([2])[0].id == "2" and some[1:][0].id == "1"
    assert some._items is None and some.take([1, 1]).table.num_rows == 2
    with pytest.raises(ValueError, match="without a step"):
        some[::2]
    with pytest.raises(IndexError):
        some[3]


def test_an_item_knows_its_caption_and_the_columns_that_have_no_place_of_their_own() -> None:
    said = [[{"role": "assistant", "content": "A cat."}], None]
    table = pa.table({"id": ["a", "b"], "messages": said, "format": ["PNG", "GIF"], "_rowid": [7, 8]})
    first, second = Rows(table, lambda messages: messages[-1]["content"])
    assert (first.caption, second.caption, first.data, first.width) == ("A cat.", "", None, None)
    assert first.others == {"format": "PNG"}
