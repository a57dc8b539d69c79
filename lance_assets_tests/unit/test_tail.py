"""When the training set is renewed, and when it is trained on: plain values."""

from __future__ import annotations

from collections.abc import Sequence

from lance_assets.automation.relabel import BACKING_OFF, PAUSED, Plan
from lance_assets.automation.requests import Attempts, Flight, Tried
from lance_assets.automation.tail import Renewal, Tail, TailPlan, plan, unsettled
from lance_assets.store.backlog import Backlog

NOW = 1_000_000.0
FRESH = Renewal()
STALE = Renewal("the table changed", "7 abc")


def tail(
    training_set: Renewal = FRESH, checkpoint: Renewal = FRESH, evaluation: Renewal = FRESH, why: str = ""
) -> Tail:
    return Tail(why, training_set, checkpoint, evaluation)


def planned(tail: Tail, train: str = "manual", flight: Flight | None = None, tried: Sequence[Tried] = ()) -> TailPlan:
    return plan(tail, train, flight or Flight(), Attempts(tried, 60), NOW)


def failed(asset: str, made: str, ago: float = 5000) -> Tried:
    return Tried((asset,), (), {asset: made}, NOW - ago - 1, NOW - ago)


def assets(found: TailPlan) -> tuple[str, ...]:
    return found.request.assets if found.request else ()


def test_a_training_set_of_what_is_there_is_left_alone():
    assert assets(planned(tail())) == assets(planned(tail(), "auto")) == ()


def test_it_is_renewed_once_everything_upstream_is_at_rest():
    assert assets(planned(tail(STALE))) == ("sft_dataset",)
    waiting = planned(tail(STALE, why="score/sharpness is in flight"))
    assert (waiting.request, waiting.says) == (None, "score/sharpness is in flight")


def test_nothing_is_asked_for_while_the_tail_itself_is_in_flight():
    for asset in ("sft_dataset", "qwen_vl_checkpoint", "evaluation"):
        assert assets(planned(tail(STALE, STALE, STALE), "auto", Flight({asset: set()}))) == ()


def test_a_selection_that_fails_is_not_asked_for_on_every_tick_but_at_once_when_the_table_changes():
    assert assets(planned(tail(STALE), tried=[failed("sft_dataset", "7 abc", ago=30)])) == ()
    assert assets(planned(tail(STALE), tried=[failed("sft_dataset", "6 abc", ago=30)])) == ("sft_dataset",)


def test_training_is_an_act_of_people_unless_platform_yaml_says_auto():
    stale = tail(checkpoint=STALE)
    assert planned(stale).says == "qwen_vl_checkpoint: the table changed; automation.train is manual"
    assert assets(planned(stale, "auto")) == ("qwen_vl_checkpoint", "evaluation")
    assert assets(planned(tail(evaluation=STALE), "auto")) == ("evaluation",)
    assert assets(planned(tail(STALE, STALE), "auto")) == ("sft_dataset",), "first what it would be trained on"


def test_a_training_that_failed_three_times_is_left_to_people_until_its_rows_or_recipe_change():
    tries = [failed("qwen_vl_checkpoint", "7 abc", ago=9000 * at) for at in range(1, 4)]
    assert assets(planned(tail(checkpoint=STALE), "auto", tried=tries[:2])) == ("qwen_vl_checkpoint", "evaluation")
    assert "left to people" in planned(tail(checkpoint=STALE), "auto", tried=tries).says
    other = Renewal("the table changed", "8 abc")
    assert assets(planned(tail(checkpoint=other), "auto", tried=tries)) == ("qwen_vl_checkpoint", "evaluation")


def why(
    columns: Plan | None = None,
    flight: Flight | None = None,
    arriving: Sequence[str] = (),
    stale: dict[str, int] | None = None,
) -> str:
    found = Backlog({"a": {"score_judge": stale or {"new": 1}}})
    return unsettled(found, columns or Plan(), flight or Flight(), arriving)


def test_a_platform_at_rest_has_nothing_in_flight_nothing_arriving_and_no_stale_column():
    assert why() == ""
    assert why(flight=Flight({"image_dataset": {"a"}})) == "image_dataset is in flight"
    assert why(flight=Flight({"score/judge": {"a"}})) == "score/judge is in flight"
    assert why(flight=Flight({"sft_dataset": set()})) == ""
    assert why(arriving=["a", "b"]) == "2 batches are about to be downloaded"
    assert why(Plan(coming={"judge": {"a"}})) == "score/judge is stale in 1 batches"


def test_wrong_labels_hold_it_up_missing_and_paused_ones_do_not():
    held = Plan(waiting={"judge": {BACKING_OFF: ["a"]}})
    assert why(held, stale={"version": 3}) == f"score/judge is stale in 1 batches: {BACKING_OFF}"
    assert why(held, stale={"new": 3}) == ""
    assert why(Plan(waiting={"judge": {PAUSED: ["a"]}}), stale={"version": 3}) == ""
