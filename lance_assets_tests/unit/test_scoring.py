"""The scorer API: one decode for all, typed failures, one failing row or scorer costs only itself."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from lance_assets.errors import BadInput
from lance_assets.scoring import decoding
from lance_assets.scoring.api import Item, RowScorer, ScoreFailure, Scorer, ScorerConfig, State
from lance_assets.scoring.functions import scorer_of
from lance_assets.scoring.passes import score_items
from lance_assets.scoring.registry import BUILT_IN, DEFAULT, known, register, scorers
from lance_assets.store.columns import CellState


def encoded(array: np.ndarray, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.fromarray(array).save(out, kind)
    return out.getvalue()


def picture(seed: int = 0, side: int = 64) -> bytes:
    return encoded(np.random.RandomState(seed).randint(0, 255, (side, side, 3), dtype=np.uint8))


class Length(RowScorer):
    """Words of the caption; fails for captions that say so."""

    name, version, fields, description = "length", "1", ("messages",), "words"

    def score_one(self, item: Item) -> float:
        if item.caption == "later":
            raise TimeoutError("no answer in 5 s")
        if item.caption == "refuse":
            raise ScoreFailure(State.REFUSED, "the caption is refused")
        if item.caption == "nothing":
            return float("nan")
        return float(len(item.caption.split()))


class Batch(Scorer):
    """Scores a batch at once and cannot stand the word poison in any row."""

    name, version, fields, description = "batch", "1", ("messages",), "1 for all"
    calls = 0

    def score(self, items: Sequence[Item]) -> Sequence[float | ScoreFailure]:
        self.calls += 1
        if any("poison" in item.caption for item in items):
            raise RuntimeError("cannot stand it\nsecond line")
        return np.ones(len(items), dtype=np.float32).tolist()


class Short(Batch):
    """Gives one value too few."""

    name = "short"

    def score(self, items: Sequence[Item]) -> Sequence[float | ScoreFailure]:
        return [1.0] * (len(items) - 1)


def test_an_image_is_decoded_once_for_all_scorers(monkeypatch):
    decoded = []
    real = decoding.decode
    monkeypatch.setattr(decoding, "decode", lambda *given: decoded.append(1) or real(*given))
    scored = score_items(scorers(["sharpness", "exposure"]), [Item("a", "x", data=picture())])
    assert len(decoded) == 1
    assert all(column.states.tolist() == [State.OK] for column in scored.values())


def test_a_broken_image_is_tried_once_and_fails_permanently_in_every_image_scorer(monkeypatch):
    tried = []
    real = decoding.decode
    monkeypatch.setattr(decoding, "decode", lambda *given: tried.append(1) or real(*given))
    rows = [Item("a", "x", data=picture()[:200]), Item("b", "x", data=picture())]
    for column in score_items(scorers(["sharpness", "exposure"]), rows).values():
        assert column.states.tolist() == [State.FAILED_PERMANENT, State.OK]
        assert column.values.is_valid().to_pylist() == [False, True] and np.isfinite(column.values[1].as_py())
        assert "cannot be decoded" in column.messages[0] and 1 not in column.messages
    assert len(tried) == 2


def test_a_caption_scorer_does_not_touch_the_image():
    column = score_items(scorers(["caption_quality"]), [Item("a", "A cat sits on the mat by the door.", data=b"no")])
    assert column["caption_quality"].states.tolist() == [State.OK]


def test_a_row_without_image_bytes_fails_with_a_sentence():
    column = score_items(scorers(["sharpness"]), [Item("a", "x")])["sharpness"]
    assert column.messages == {0: "the row has no image"}


def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded():
    out = io.BytesIO()
    Image.new("1", (8_000, 8_000)).save(out, "PNG")
    with pytest.raises(ScoreFailure, match="more than 50000000 pixels") as caught:
        decoding.decode(out.getvalue())
    assert caught.value.state == State.FAILED_PERMANENT


def test_failures_are_typed_by_what_they_mean():
    rows = [Item(str(n), caption) for n, caption in enumerate(["two words", "later", "refuse", "nothing"])]
    column = score_items({"length": Length()}, rows)["length"]
    assert column.states.tolist() == [State.OK, State.FAILED_TRANSIENT, State.REFUSED, State.FAILED_PERMANENT]
    assert column.values.type == pa.float32() and column.states.dtype == np.uint8
    assert column.messages[1] == "TimeoutError: no answer in 5 s"
    assert "not a finite number" in str(column.messages[3])


def test_a_poisonous_row_is_isolated_and_the_rest_of_its_batch_scored():
    scorer = Batch()
    rows = [Item(str(at), "poison" if at == 5 else "fine") for at in range(16)]
    column = score_items({"batch": scorer}, rows)["batch"]
    assert np.flatnonzero(column.states).tolist() == [5] and column.states[5] == State.FAILED_PERMANENT
    assert column.messages == {5: "RuntimeError: cannot stand it"}
    assert scorer.calls == 1 + 2 * 4, "the batch is halved four times"


def test_a_failing_scorer_does_not_stop_the_others():
    scored = score_items({"batch": Batch(), "length": Length()}, [Item("a", "poison"), Item("b", "poison too")])
    assert scored["batch"].states.tolist() == [State.FAILED_PERMANENT] * 2
    assert scored["length"].values.tolist() == [1.0, 2.0]


def test_a_scorer_that_gives_too_few_values_fails_instead_of_shifting_rows():
    column = score_items({"short": Short()}, [Item("a"), Item("b")])["short"]
    assert column.states.tolist() == [State.FAILED_PERMANENT] * 2
    assert "gave 0 values for 1 rows" in column.messages[0]


def test_no_rows_give_empty_columns():
    scored = score_items(scorers(["caption_quality", "sharpness"]), [])
    assert [(len(c.values), len(c.states), c.messages) for c in scored.values()] == [(0, 0, {})] * 2


def test_the_config_hash_moves_with_the_config_and_with_nothing_else():
    plain, same, other = (
        scorers(["sharpness"], {"sharpness": config})["sharpness"] for config in ({}, {"half": 200.0}, {"half": 300})
    )
    assert plain.config_hash() == same.config_hash() != other.config_hash()
    canonical = json.dumps({"half": 200.0, "size": 256}, separators=(",", ":"))
    assert plain.config_hash() == hashlib.sha256(canonical.encode()).hexdigest()[:16]


def test_built_in_scorers_come_in_their_documented_order_and_say_what_they_are():
    order = ["sharpness", "exposure", "caption_quality", "alignment", "duplicate"]
    assert list(scorers()) == order == list(DEFAULT)
    classes = known()
    for name in BUILT_IN:
        scorer = classes[name]
        assert scorer.version and scorer.description
        assert scorer.unit.startswith("0..100") or scorer.across or scorer.type == pa.string()
    assert [name for name in BUILT_IN if classes[name].served] == ["alignment", "clip", "judge"]


def test_an_unknown_scorer_is_named_with_those_that_exist():
    with pytest.raises(BadInput, match=r"no scorer 'sharpnes'; there are: sharpness, exposure"):
        scorers(["sharpnes"])
    with pytest.raises(BadInput, match="no scorer 'bluriness'"):
        scorers(["sharpness"], {"bluriness": {}})


def test_an_unknown_or_impossible_setting_is_named_with_those_that_exist():
    with pytest.raises(BadInput, match=r"scorer sharpness: halv: .*its settings are: size, half"):
        scorers(["sharpness"], {"sharpness": {"halv": 3}})
    with pytest.raises(BadInput, match=r"scorer sharpness: half: .*greater than 0"):
        scorers(["sharpness"], {"sharpness": {"half": -3}})


def test_a_registered_scorer_cannot_take_a_taken_name_or_read_an_unknown_column():
    scorers()
    taken = type("Other", (Length,), {"name": "sharpness"})
    with pytest.raises(BadInput, match="two scorers are called sharpness"):
        register(taken)
    with pytest.raises(BadInput, match="reads pixels; scorers can read image"):
        register(type("Odd", (Length,), {"name": "odd", "fields": ("pixels",)}))
    with pytest.raises(BadInput, match="cannot name a column"):
        register(type("Odd", (Length,), {"name": "Odd name"}))


def test_a_config_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        ScorerConfig.model_validate({}).__setattr__("anything", 1)


def test_scorers_and_the_store_mean_the_same_by_a_state():
    """Two leaf rooms that may not import each other write and read the same column."""
    assert {state.name: state.value for state in State} == {state.name: state.value for state in CellState}


def test_a_function_with_a_unit_of_its_own_has_the_bounds_that_it_says_or_none():
    def width(item):
        return item.width

    said = {"plain": {}, "unit": {"unit": "pixels"}, "both": {"unit": "pixels", "bounds": (1, 10)}}
    found = {name: scorer_of(width, "1", ["width"], **more).bounds for name, more in said.items()}
    assert found == {"plain": (0, 100), "unit": None, "both": (1, 10)}
