"""The plan of the labelling sensor, on plain values."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lance_assets.automation.new_samples import plan as plan_samples
from lance_assets.automation.relabel import (
    BACKING_OFF,
    IMAGES_COMING,
    IN_FLIGHT,
    NO_MODEL,
    PAUSED,
    RELABEL,
    Column,
    Plan,
    fit_request,
    plan,
)
from lance_assets.automation.requests import (
    IMAGES,
    RAW_CAPTIONS,
    Attempts,
    Flight,
    Limits,
    Request,
    Tried,
)
from lance_assets.store.backlog import Backlog
from lance_assets.tags import AUTOMATION_TAG, MADE_TAG, PRIORITY_TAG, REASON_TAG

KEYS = [f"shots-0123abcd-{number}-{number + 1}" for number in range(6)]
SHARP, LIGHT = Column("sharp", "1 c0ffee", "light"), Column("light", "3 c0ffee", "light")
JUDGE = Column("judge", "1 beef", "judge")
NOW = 1_000_000.0


def backlog(stale: dict[int, dict[str, dict[str, int]]], batches: int = len(KEYS)) -> Backlog:
    """By the number of the batch and the scorer."""
    found = Backlog({key: {} for key in KEYS[:batches]})
    for number, columns in stale.items():
        found.stale[KEYS[number]] = {f"score_{scorer}": rows for scorer, rows in columns.items()}
    return found


def planned(
    found: Backlog,
    *columns: Column,
    paused: Sequence[str] = (),
    flight: Flight | None = None,
    tried: Sequence[Tried] = (),
    runs: int = 10,
    batches: int = 50,
    now: float = NOW,
) -> Plan:
    limits = Limits(runs, batches)
    return plan(found, KEYS, columns, paused, flight or Flight(), Attempts(tried, 60), limits, now)


def asked(found: Plan) -> list[tuple[tuple[str, ...], tuple[int, int] | None]]:
    """Scorers and numbers of the first and last batch of each request."""
    return [
        (
            tuple(asset.removeprefix("score/") for asset in request.assets),
            request.ends and (KEYS.index(request.ends[0]), KEYS.index(request.ends[1])),
        )
        for request in found.requests
    ]


def test_a_table_without_stale_cells_asks_for_nothing():
    assert planned(backlog({}), SHARP, LIGHT).requests == []


def test_light_columns_that_are_stale_together_share_a_run_and_others_have_their_own():
    new = {"new": 5}
    found = planned(backlog({0: {"sharp": new, "light": new, "judge": new}, 1: {"sharp": new}}), SHARP, LIGHT, JUDGE)
    assert asked(found) == [(("sharp", "light"), (0, 0)), (("judge",), (0, 0)), (("sharp",), (1, 1))]


def test_batches_that_stand_next_to_each_other_share_a_run_up_to_the_limit():
    found = planned(backlog({number: {"sharp": {"version": 1}} for number in (0, 1, 2, 3, 5)}), SHARP, batches=3)
    assert asked(found) == [(("sharp",), (0, 2)), (("sharp",), (3, 3)), (("sharp",), (5, 5))]


def test_a_batch_without_images_is_never_asked_for_and_splits_a_range():
    found = backlog({0: {"sharp": {"new": 1}}, 2: {"sharp": {"new": 1}}})
    del found.stale[KEYS[1]]
    assert asked(planned(found, SHARP)) == [(("sharp",), (0, 0)), (("sharp",), (2, 2))]


def test_what_people_wait_for_comes_first_and_the_rest_when_there_is_room():
    stale = {0: {"sharp": {"version": 1}}, 2: {"sharp": {"failed": 1}}, 4: {"sharp": {"new": 1}}}
    assert asked(planned(backlog(stale), SHARP, runs=2)) == [(("sharp",), (4, 4)), (("sharp",), (0, 0))]
    busy = planned(backlog(stale), SHARP, runs=2, flight=Flight({}, {RELABEL: 1}))
    assert asked(busy) == [(("sharp",), (4, 4))]
    assert busy.coming == {"sharp": {KEYS[0], KEYS[2], KEYS[4]}}
    full = planned(backlog(stale), SHARP, runs=2, flight=Flight({}, {RELABEL: 7}))
    assert full.requests == []


def test_tags_say_why_and_how_urgent_it_is():
    found = backlog({0: {"sharp": {"new": 2, "version": 3}}, 1: {"sharp": {"config": 1}}, 3: {"sharp": {"new": 4}}})
    found.replaced.add((KEYS[3], "score_sharp"))
    first, second = planned(found, SHARP).requests
    assert first.tags == {
        AUTOMATION_TAG: RELABEL,
        REASON_TAG: "never scored (2), scorer version (3), config (1)",
        MADE_TAG: json.dumps({"score/sharp": "1 c0ffee"}),
        PRIORITY_TAG: "1",
    }
    assert second.tags[REASON_TAG] == "image changed (4)"


def test_a_paused_column_is_left_as_it_is():
    found = planned(backlog({0: {"sharp": {"new": 1}, "light": {"new": 1}}}), SHARP, LIGHT, paused=["sharp"])
    assert asked(found) == [(("light",), (0, 0))]
    assert found.waiting == {"sharp": {PAUSED: [KEYS[0]]}}


def test_nothing_is_asked_for_twice():
    stale = backlog({0: {"sharp": {"new": 1}}, 1: {"sharp": {"new": 1}}})
    found = planned(stale, SHARP, flight=Flight({"score/sharp": {KEYS[0]}}))
    assert asked(found) == [(("sharp",), (1, 1))] and found.coming == {"sharp": {KEYS[0], KEYS[1]}}
    assert IN_FLIGHT not in found.waiting.get("sharp", {})


def test_a_batch_whose_images_are_on_their_way_waits_for_them():
    for asset in ("raw_captions", "image_dataset"):
        found = planned(backlog({0: {"sharp": {"new": 1}}}), SHARP, flight=Flight({asset: {KEYS[0]}}))
        assert found.requests == [] and found.waiting == {"sharp": {IMAGES_COMING: [KEYS[0]]}}


def test_a_column_that_reads_another_waits_until_that_is_fresh():
    reader = Column("plus", "1 f00d", "plus", reads=("sharp",))
    both = {"sharp": {"version": 1}, "plus": {"config": 1}}
    stale = backlog({0: both, 1: {"plus": {"config": 1}}, 2: {"sharp": {"failed": 1}, "plus": {"failed": 1}}})
    found = planned(stale, SHARP, reader)
    assert set(asked(found)) == {(("sharp",), (0, 0)), (("sharp",), (2, 2)), (("plus",), (1, 1))}
    assert found.waiting == {"plus": {"waits for sharp, which it reads": [KEYS[0], KEYS[2]]}}
    flying = planned(backlog({0: {"plus": {"new": 1}}}), reader, flight=Flight({"score/sharp": {KEYS[0]}}))
    assert flying.requests == []


def test_a_column_whose_model_is_missing_waits_and_the_model_is_asked_for_once_there_are_images():
    lacking = Column("alignment", "2 f00d", "alignment", lacks=NO_MODEL)
    found = planned(backlog({0: {"alignment": {"new": 1}}}), lacking)
    assert found.requests == [] and found.waiting == {"alignment": {NO_MODEL: [KEYS[0]]}}

    def fits(images: bool = True, flight: Flight | None = None, tried: Sequence[Tried] = ()) -> list[tuple[str, ...]]:
        requests = fit_request([lacking], images, flight or Flight(), Attempts(tried, 60), NOW)
        return [request.assets for request in requests]

    assert fits() == [("alignment_model",)] and fits(images=False) == []
    assert fits(flight=Flight({"image_dataset": {KEYS[1]}})) == fits(flight=Flight({"alignment_model": set()})) == []
    assert fits(tried=[Tried(("alignment_model",), (), {}, NOW - 30, NOW - 20)]) == []
    assert fit_request([SHARP], True, Flight(), Attempts((), 60), NOW) == []


def in_vain(ago: float, made: str = "1 c0ffee", batches: Sequence[str] = KEYS[:1]) -> Tried:
    return Tried(("score/sharp",), batches, {"score/sharp": made}, NOW - ago - 5, NOW - ago)


def test_what_a_run_did_not_change_is_asked_for_less_and_less_often():
    stale = backlog({0: {"sharp": {"new": 1}}})
    found = planned(stale, SHARP, tried=[in_vain(30)])
    assert found.requests == [] and found.waiting == {"sharp": {BACKING_OFF: [KEYS[0]]}} and not found.coming
    assert planned(stale, SHARP, tried=[in_vain(61)]).requests
    assert not planned(stale, SHARP, tried=[in_vain(500), in_vain(100)]).requests
    assert planned(stale, SHARP, tried=[in_vain(500), in_vain(121)]).requests
    many = [in_vain(3599 + 4000 * at) for at in range(9)]
    assert not planned(stale, SHARP, tried=many).requests
    assert planned(stale, SHARP, tried=many, now=NOW + 2).requests, "an hour is the longest wait"


def test_another_version_another_batch_or_some_progress_begins_anew():
    stale = backlog({0: {"sharp": {"new": 1}}})
    assert planned(stale, SHARP, tried=[in_vain(30, made="0 c0ffee")]).requests
    assert planned(stale, SHARP, tried=[in_vain(30, batches=KEYS[1:2])]).requests
    stale.made[KEYS[0], "score_sharp"] = NOW - 32
    assert planned(stale, SHARP, tried=[in_vain(30)]).requests, "the run published something"
    again = backlog({0: {"sharp": {"new": 1}}})
    again.made[KEYS[0], "image"] = NOW - 10
    assert planned(again, SHARP, tried=[in_vain(30)]).requests, "its images came anew"


def test_a_request_that_is_carried_out_leaves_nothing_to_ask_for():
    stale = {number: {"sharp": {"new": 1}, "judge": {"version": 1}} for number in range(6)}
    for _ in range(20):
        for request in planned(backlog(stale), SHARP, JUDGE, runs=2, batches=2).requests:
            carry_out(request, stale)
    assert stale == {number: {} for number in range(6)}


def carry_out(request: Request, stale: dict[int, dict[str, dict[str, int]]]) -> None:
    assert request.ends is not None
    first, last = (KEYS.index(end) for end in request.ends)
    for number in range(first, last + 1):
        for asset in request.assets:
            del stale[number][asset.removeprefix("score/")]


def test_a_run_that_stored_changed_rows_was_not_in_vain():
    def asked(stored):
        done = [Tried((RAW_CAPTIONS, IMAGES), ("a", "b"), {IMAGES: "here"}, 100.0, 130.0)]
        tries, limits = Attempts(done, 60), Limits(runs=4, batches=4)
        found = plan_samples("shots", [], ["a", "b"], ["a", "b"], Flight(), tries, "here", limits, 140.0, stored)
        return [one.ends for one in found]

    assert asked({"a": 90.0, "b": 90.0}) == []
    assert asked({"a": 120.0, "b": 120.0}) == [("a", "b")], "a row changed again meanwhile"
