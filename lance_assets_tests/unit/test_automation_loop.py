"""Whatever happens, in whatever order: once the automation is quiet, nothing is stale and nothing was scored for
nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from lance_assets.audit.stale import audit_stale
from lance_assets.automation.relabel import BACKING_OFF
from lance_assets.compute.label import identity_of
from lance_assets.store import ledger
from lance_assets.store.files import DataRoot
from lance_assets_tests.unit.loop import Loop
from lance_assets_tests.unit.store.scenes import Row

STEPS = {"append": 3, "replace": 2, "bump": 2, "tick": 5, "work": 5, "kill": 1, "break": 1, "mend": 1, "later": 2}


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Loop:
    loop = Loop(DataRoot(tmp_path), np.random.default_rng(getattr(request, "param", 0)))
    monkeypatch.setattr(ledger, "now", lambda: loop.clock)
    return loop


def happen(loop: Loop, step: str) -> None:
    name = str(loop.random.choice(list(loop.versions)))
    if step == "kill":
        loop.work(killed=True)
    elif step == "break":
        loop.broken.add(name)
    elif step == "mend":
        loop.broken.discard(name)
    elif step == "later":
        loop.clock += timedelta(minutes=int(loop.random.integers(1, 90)))
    elif step != "replace" or loop.order:
        getattr(loop, step)()


def until_quiet(loop: Loop) -> None:
    """Nothing breaks any more, and time goes by until nothing is asked for."""
    loop.broken, loop.flaky = set(), 0.0
    for _ in range(40):
        while loop.queue:
            loop.work()
        loop.clock += timedelta(hours=1)
        if not loop.tick().requests and not any(loop.found().stale.values()):
            return
    raise AssertionError(f"it never became quiet: {loop.found().stale}")


@pytest.mark.parametrize("loop", range(12), indirect=True)
def test_after_any_history_each_cell_was_scored_as_often_as_it_became_stale(loop: Loop) -> None:
    chances = np.array([*STEPS.values()]) / sum(STEPS.values())
    loop.append()
    for _ in range(25):
        loop.flaky = float(loop.random.choice([0, 0, 0.3]))
        happen(loop, str(loop.random.choice([*STEPS], p=chances)))
    until_quiet(loop)
    assert not any(loop.found().stale.values()) and not loop.stale
    assert loop.scored == loop.became


@pytest.mark.parametrize("loop", range(5), indirect=True)
def test_audit_stale_names_exactly_what_the_sensor_asks_for(loop: Loop) -> None:
    for _ in range(12):
        happen(loop, str(loop.random.choice(["append", "append", "replace", "bump", "tick", "work"])))
        if not loop.rows:
            continue
        identities = [identity_of(one) for one in loop.scorers().values()]
        said = audit_stale(loop.root, identities, now=loop.clock + timedelta(seconds=30))["columns"]
        busy, found = loop.flight(), loop.tick()
        for name, one in said.items():
            held = {key for keys in found.waiting.get(name, {}).values() for key in keys}
            assert found.coming.get(name, set()) | held == set(one["batches"])
        for request in found.requests:
            names = [asset.removeprefix("score/") for asset in request.assets]
            for batch in loop._batches(request):
                for name in names:
                    assert batch in said[name]["batches"] and not busy.holds(f"score/{name}", batch)


def test_a_scorer_that_fails_for_the_batch_as_a_whole_is_asked_less_and_less_often(loop: Loop) -> None:
    loop.order.append("b0")
    loop.store("b0", [Row(number) for number in range(3)])
    loop.broken.add("counted")
    start, asked = loop.clock, 0
    while loop.clock < start + timedelta(hours=2):
        asked += sum("score/counted" in request.assets for request in loop.tick().requests)
        while loop.queue:
            loop.work()
    assert 5 <= asked <= 9
    assert loop.tick().waiting["counted"] == {BACKING_OFF: ["b0"]}
    loop.broken.clear()
    until_quiet(loop)
    assert not loop.stale


def test_a_failure_that_backs_off_is_left_alone_while_others_of_its_batch_are_scored(loop: Loop) -> None:
    loop.order.append("b0")
    loop.store("b0", [Row(0)])
    loop.flaky = 1.0
    loop.tick()
    while loop.queue:
        loop.work()
    loop.flaky = 0.0
    assert loop.scored["counted", "b0/0"] == 1
    loop.store("b0", [Row(0), Row(1)])  # seconds later
    loop.tick()
    while loop.queue:
        loop.work()
    assert (loop.scored["counted", "b0/0"], loop.scored["counted", "b0/1"]) == (1, 1)
    until_quiet(loop)
    assert loop.scored["counted", "b0/0"] == 2


def test_a_new_version_of_a_broken_scorer_does_not_wait(loop: Loop) -> None:
    loop.order.append("b0")
    loop.store("b0", [Row(number) for number in range(3)])
    loop.broken.add("counted")
    for _ in range(8):
        loop.tick()
        while loop.queue:
            loop.work()
    assert not loop.tick().requests
    loop.versions["counted"] += 1
    assert [request.assets for request in loop.tick().requests] == [("score/counted",)]
