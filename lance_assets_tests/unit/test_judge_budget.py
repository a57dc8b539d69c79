"""The judge's budget: never overspent, whoever asks again, and spent on the most valuable rows."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lance_assets.ingest.conversation import caption_of
from lance_assets.scoring.api import Item, Rows, ScoreFailure, State
from lance_assets.scoring.judge import Judge
from lance_assets.scoring.judge.config import JudgeConfig
from lance_assets.scoring.judge.crew import Crew
from lance_assets.scoring.passes import score_items
from lance_assets.scoring.registry import Entry, configured
from lance_assets_tests.fault_files import jpeg
from lance_assets_tests.judge_server import judge_server
from lance_assets_tests.judging import KEY, judge, rows

PRICES = {"input": 2.0, "output": 10.0}
#: Of one request: 500 tokens in, 40 out.
PRICE, TOKENS = 500 * 2e-6 + 40 * 10e-6, 540


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def model():
    with judge_server(latency_s=0.02) as server:
        yield server


def scored(outcomes: Sequence[Any]) -> list[int]:
    return [at for at, outcome in enumerate(outcomes) if not isinstance(outcome, ScoreFailure)]


@pytest.mark.parametrize(
    ("budget", "most", "fewest"),
    [({"money": 40 * PRICE}, 40, 36), ({"tokens": 40 * TOKENS}, 40, 36), ({"rows": 40}, 40, 40)],
    ids=["money", "tokens", "rows"],
)
def test_a_budget_is_never_overspent_and_the_rest_of_the_rows_is_left_for_later(model, tmp_path, budget, most, fewest):
    config = {"prices": PRICES, "budget": budget, "max_tokens": 64, "concurrency": 16}
    with judge(model, tmp_path, **config) as ours:
        outcomes = ours.score(rows(100))
        assert fewest <= len(scored(outcomes)) == len(model.answered()) <= most
        for outcome in outcomes:
            if isinstance(outcome, ScoreFailure):
                assert outcome.state == State.FAILED_TRANSIENT
                assert str(outcome).startswith("the budget of ") and str(outcome).endswith("is spent")
        use = ours.usage(tmp_path)
    assert use.cost == pytest.approx(len(model.log) * PRICE) and use.cost <= budget.get("money", 1.0) + 1e-9
    assert use.cost_per_row == pytest.approx(PRICE) and use.tokens_per_row == pytest.approx(TOKENS)


def test_who_asks_again_and_again_spends_no_more_and_a_raised_budget_goes_on(model, tmp_path):
    spent: list[int] = []
    for _ in range(3):
        with judge(model, tmp_path, budget={"rows": 10}) as ours:
            spent.append(len(scored(ours.score(rows(30)))))
    assert spent == [10, 10, 10] and len(model.log) == 10
    with judge(model, tmp_path, budget={"rows": 25}) as ours:
        assert len(scored(ours.score(rows(30)))) == 25
    assert len(model.log) == 25


def test_two_that_ask_with_one_journal_share_a_budget(model, tmp_path):
    budget = {"budget": {"rows": 30}}
    with (
        judge(model, tmp_path, **budget) as one,
        judge(model, tmp_path, **budget) as two,
        ThreadPoolExecutor(2) as pool,
    ):
        found = list(pool.map(lambda ours, items: ours.score(items), (one, two), (rows(40), rows(40, 1000))))
    assert sum(len(scored(outcomes)) for outcomes in found) == len(model.log) == 30


def test_a_budget_of_money_needs_prices():
    with pytest.raises(ValueError, match=r"budget\.money needs prices"):
        JudgeConfig.model_validate({"budget": {"money": 1.0}})


def test_the_most_valuable_rows_are_asked_first_and_those_without_a_value_last(model, tmp_path):
    values = [None, 10.0, 90.0, float("nan"), 50.0, 70.0]
    items = [
        Item(str(at), f"row {at}", data=jpeg(64), others={"score_alignment": value}) for at, value in enumerate(values)
    ]
    with judge(model, tmp_path, first="score_alignment", budget={"rows": 4}, concurrency=1) as ours:
        outcomes = ours.score(items)
    assert [entry.caption for entry in model.log] == ["row 2", "row 5", "row 4", "row 1"]
    assert scored(outcomes) == [1, 2, 4, 5]


def test_what_waits_is_taken_by_its_value_whichever_call_it_came_with():
    crew, busy, go, taken = Crew(1, "test"), threading.Event(), threading.Event(), list[str]()
    futures = [crew.submit(0.0, lambda: busy.set() or go.wait(10))]
    assert busy.wait(10)
    for call, values in (("first", (1.0, 5.0, -math.inf)), ("second", (3.0, 5.0))):
        futures += [crew.submit(value, partial(taken.append, f"{call} {value}")) for value in values]
    go.set()
    for future in futures:
        future.result(10)
    crew.close()
    assert taken == ["first 5.0", "second 5.0", "second 3.0", "first 1.0", "first -inf"]


def test_a_row_that_lacks_the_value_that_orders_it_is_judged_all_the_same(model, tmp_path):
    said = {"model": "stub-vl", "base_url": model.url, "first": "score_sharpness", "ramp_s": 0}
    chosen = configured([Entry("sharpness"), Entry("judge", config=said)])
    ours = chosen["judge"]
    assert isinstance(ours, Judge) and ours.fields[-1] == "score_sharpness" and ours.upstream == {}
    # which version of sharpness there is makes no judgement stale
    assert ours.config_hash() == JudgeConfig(model="stub-vl").config_hash()
    talk = [{"role": "user", "content": "<image>"}, {"role": "assistant", "content": "a cat"}]
    table = pa.table(
        {
            "id": ["a", "b"],
            "image": [jpeg(64), jpeg(64, 1)],
            "messages": [talk, talk],
            "caption_missing": [False, False],
            "score_sharpness": pa.array([None, 3.0], pa.float32()),
        }
    )
    ours.load(tmp_path)
    column = score_items({"judge": ours}, Rows(table, caption_of))["judge"]
    ours.close()
    assert column.states.tolist() == [State.OK, State.OK] and column.values.type == pa.float32()
    assert np.isfinite(column.values.to_numpy()).all()


def test_a_judge_that_orders_by_a_column_that_nobody_makes_is_refused():
    with pytest.raises(ValueError, match="pattern"):
        JudgeConfig(first="alignment")
    with pytest.raises(Exception, match="reads score_sharpness, and no scorer sharpness is configured"):
        configured([Entry("judge", config={"first": "score_sharpness"})])
