"""The judge against an endpoint that fails: what becomes of the row, and of the others."""

from __future__ import annotations

import logging
import pickle
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from lance_assets.scoring.api import Item, ScoreFailure, State, Unusable
from lance_assets.scoring.judge.faults import retry_after
from lance_assets.scoring.passes import score_items
from lance_assets_tests.fault_files import jpeg
from lance_assets_tests.judge_server import Fault, Model, judge_server
from lance_assets_tests.judging import KEY, judge, rows


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def model():
    with judge_server() as server:
        yield server


def fails(model: Model, *faults: Fault) -> None:
    model.behaviour.faults.extend(faults)


def failure(outcome: object) -> tuple[State, str]:
    assert isinstance(outcome, ScoreFailure), outcome
    return outcome.state, str(outcome)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("text", '{"score": 101, "reason": "x"}'),
        Fault("text", '{"score": -1, "reason": "x"}'),
        Fault("text", '{"score": "90", "reason": "x"}'),
        Fault("text", '{"score": true, "reason": "x"}'),
        Fault("text", '{"score": 55.5, "reason": "x"}'),
        Fault("text", '{"score": 55}'),
        Fault("text", '{"score": 55, "reason": "x", "more": 1}'),
        Fault("text", '{"score": 55, "reas'),
        Fault("text", "I would say 80"),
        Fault("text", None),
        Fault("ended", "length"),
        Fault("body", "<html>not JSON"),
        Fault("body", "[]"),
        Fault("body", '{"choices": []}'),
    ],
    ids=lambda fault: f"{fault.kind} {fault.value}"[:40],
)
def test_an_answer_out_of_range_or_not_as_asked_is_asked_again_and_then_given_up(model, tmp_path, fault):
    fails(model, replace(fault, where="once"), replace(fault, where="stays", times=9))
    with judge(model, tmp_path, attempts=2) as ours:
        mended, stays = ours.score([Item("a", "once bad", data=jpeg(64)), Item("b", "it stays bad", data=jpeg(64))])
        assert ours.usage(tmp_path).malformed == 3
    state, message = failure(stays)
    assert state == State.FAILED_PERMANENT and message.startswith("after 2 answers: the answer ")
    assert mended == model.behaviour.score("once bad")


def test_a_refusal_of_the_model_or_of_the_endpoint_is_no_fault_of_it_and_not_asked_again(model, tmp_path):
    said = {"code": "data_inspection_failed", "message": "the input may hold inappropriate content"}
    fails(
        model,
        Fault("refuse", "I cannot", where="row 0."),
        Fault("ended", "content_filter", where="row 1."),
        Fault("status", said, 400, where="row 2."),
    )
    with judge(model, tmp_path) as ours:
        states = [failure(outcome) for outcome in ours.score(rows(3))]
        assert [state for state, _ in states] == [State.REFUSED] * 3
        assert "I cannot" in states[0][1] and "content filter" in states[1][1] and "inappropriate" in states[2][1]
        asked = len(model.log)
        ours.score(rows(2))
        assert asked == len(model.log) == 3


def test_rows_without_a_caption_or_a_picture_cost_nothing(model, tmp_path):
    items = [Item("a", "", data=jpeg(64)), Item("b", "none", caption_missing=True, data=jpeg(64)), Item("c", "lost")]
    with judge(model, tmp_path) as ours:
        states = [failure(outcome)[0] for outcome in ours.score([*items, Item("d", "broken", data=b"no picture")])]
    assert states == [State.REFUSED, State.REFUSED, State.FAILED_PERMANENT, State.FAILED_PERMANENT]
    assert not model.log


@pytest.mark.parametrize("status", [408, 409, 425, 500, 502, 503])
def test_what_passes_is_tried_again_and_costs_no_row(model, tmp_path, monkeypatch, status):
    monkeypatch.setattr("lance_assets.scoring.judge.asking.BACK_OFF_S", 0.01)
    fails(model, Fault("status", status=status, times=2), Fault("cut"))
    with judge(model, tmp_path, retries=5) as ours:
        assert all(isinstance(score, float) for score in ours.score(rows(3)))
    assert len(model.log) == 6


def test_a_pause_that_the_endpoint_asks_for_is_kept_by_all_rows(model, tmp_path):
    fails(model, Fault("status", {"Retry-After": "1"}, 429))
    with judge(model, tmp_path, concurrency=1) as ours:
        assert all(isinstance(score, float) for score in ours.score(rows(3)))
    first, second = model.log[:2]
    assert first.status == 429 and second.at - first.at >= 1.0


def test_a_pause_may_be_given_in_seconds_or_as_a_date():
    later = datetime.now(UTC) + timedelta(minutes=10)
    assert retry_after({"retry-after": "1.5"}) == 1.5 and retry_after({"retry-after": "-3"}) == 0.0
    assert retry_after({"retry-after": format_datetime(later, usegmt=True)}) == pytest.approx(600, abs=30)
    assert retry_after({"retry-after": format_datetime(later - timedelta(days=1), usegmt=True)}) == 0.0
    assert retry_after({}) is retry_after({"retry-after": "soon"}) is None


def test_a_longer_pause_than_anybody_waits_for_leaves_the_rows_for_later(model, tmp_path):
    fails(model, Fault("status", {"Retry-After": "3600"}, 429))
    with judge(model, tmp_path, concurrency=1) as ours:
        states = [failure(outcome) for outcome in ours.score(rows(5))]
    assert {state for state, _ in states} == {State.FAILED_TRANSIENT} and len(model.log) == 1
    assert "wants a pause of 3" in states[0][1]


def test_a_server_that_hangs_costs_its_timeout_and_counts_as_perhaps_paid(model, tmp_path):
    fails(model, Fault("hang", where="row 1.", times=9))
    with judge(model, tmp_path, timeout_s=1.0, retries=2) as ours:
        begun = time.monotonic()
        outcomes = ours.score(rows(3))
        assert time.monotonic() - begun < 30  # the server hangs for as long, each time
        use = ours.usage(tmp_path)
    state, message = failure(outcomes[1])
    assert state == State.FAILED_TRANSIENT and "silent for 1 s" in message
    assert isinstance(outcomes[0], float) and isinstance(outcomes[2], float)
    assert use.lost == 2 and use.input_tokens > 2 * 500


def test_no_server_at_all_leaves_the_rows_for_later_and_nothing_counts_as_paid(tmp_path):
    with judge_server() as gone:
        url = gone.url
    with judge(url, tmp_path, retries=2) as ours:
        assert {failure(outcome)[0] for outcome in ours.score(rows(2))} == {State.FAILED_TRANSIENT}
        assert ours.usage(tmp_path).requests == 0


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault("status", {"message": f"wrong key: {KEY}"}, 401, 99), "refuses the key in OPENAI_API_KEY"),
        (Fault("status", status=403, times=99), "refuses the key in OPENAI_API_KEY"),
        (Fault("status", {"message": "no such model"}, 404, 99), "does not know the model stub-vl"),
        (Fault("status", {"code": "insufficient_quota"}, 429, 99), "nothing left to pay with"),
        (Fault("status", {"Location": "http://127.0.0.1:9/"}, 307, 99), "redirects"),
        (Fault("status", {"message": "response_format json_schema?"}, 400, 99), "takes no answer format json_schema"),
        (Fault("status", {"message": "unknown parameter max_tokens"}, 400, 99), "no row has been answered yet"),
    ],
    ids=lambda value: f"{value.status} {value.value}"[:50] if isinstance(value, Fault) else "",
)
def test_a_fault_of_the_settings_fails_the_scorer_and_no_row(model, tmp_path, fault, says):
    fails(model, fault)
    with judge(model, tmp_path, concurrency=2) as ours:
        with pytest.raises(Unusable, match=says) as raised:
            score_items({"judge": ours}, rows(40))
        asked = len(model.log)
        with pytest.raises(Unusable, match=says):
            ours.score(rows(40))
    assert asked <= 8 and len(model.log) == asked  # and nobody asks on, row by row
    assert KEY not in str(raised.value)
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)  # noqa: S301 (our own)


def test_a_row_that_the_endpoint_turns_down_among_others_fails_alone(model, tmp_path):
    with judge(model, tmp_path) as ours:
        ours.score(rows(1))
        fails(model, Fault("status", {"message": "image too small"}, 400, where="row 3."))
        outcomes = ours.score(rows(6))
    assert failure(outcomes[3])[0] == State.FAILED_PERMANENT and "image too small" in str(outcomes[3])
    assert sum(isinstance(outcome, float) for outcome in outcomes) == 5


def test_the_key_is_in_no_log_no_journal_and_no_message(model, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    echo = {"message": f"your key {KEY} is fine, but not now"}
    fails(model, Fault("status", echo, 500), Fault("status", echo, 400, where="row 3."), Fault("text", KEY[:5]))
    with judge(model, tmp_path) as ours:
        outcomes = ours.score(rows(12))
        assert KEY not in repr(ours.config) and KEY.encode() not in pickle.dumps(ours)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"row" not in written and b"id-3" in written  # captions are not kept, either
    assert KEY.encode() not in written and KEY not in caplog.text
    assert not any(KEY in str(outcome) for outcome in outcomes)
    assert len(model.log) >= 12
