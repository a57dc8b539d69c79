"""`lance-assets bench judge`: how near the judge comes to the limits of its endpoint, whether it ever exceeds them,
what a kill pays twice, and what a budget lets through. The endpoint is a stand-in on loopback that only writes down."""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lance_assets_tests.bench.report import Goal, Report, Value
from lance_assets_tests.bench.sizes import Say
from lance_assets_tests.judge_server import Fault, Model, judge_server
from lance_assets_tests.judging import asking, judge, rows

TITLE = """By the log of the endpoint, on its clock. `share`: requests or tokens over what the limit allows, after the
ramp; `most`: the fullest of all periods over its limit. The endpoint runs in the same process as the judge."""
KEY_VARIABLE = "LANCE_ASSETS_BENCH_KEY"
#: The issue wants throughput within 10 % of what the limits allow; a goal is met from below.
BOUND = 1 / 0.9
#: Tokens of a request, and requests in flight at most in the kill and the budget.
INPUT, OUTPUT, PLACES = 1200, 60, 16


@dataclass(frozen=True)
class Sizes:
    """Requests in a period, its seconds and the ramp's, periods to run for, the endpoint's seconds for an answer; rows
    of the kill and of the budget."""

    requests: int
    period_s: float
    ramp_s: float
    periods: float
    latency_s: float
    killed: int


FULL = Sizes(requests=600, period_s=60.0, ramp_s=20.0, periods=3.0, latency_s=1.0, killed=400)
QUICK = Sizes(requests=40, period_s=2.0, ramp_s=0.7, periods=4.0, latency_s=0.05, killed=120)


@dataclass
class Found:
    """The table and the goals while they grow."""

    say: Say
    rows: list[dict[str, Value]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)


def run(quick: bool, say: Say) -> Report:
    """Full: 11 minutes, most of it at the pace of the limits; quick: a minute."""
    sizes, found = QUICK if quick else FULL, Found(say)
    os.environ[KEY_VARIABLE] = "no secret"
    each = INPUT + OUTPUT
    limits = {
        "requests": {"requests_per_minute": sizes.requests},
        "tokens": {"tokens_per_minute": sizes.requests * each},
    }
    for name, limit in limits.items():
        _paced(found, sizes, name, limit, deque())
    bad = sizes.requests // 20
    faults = [Fault("status", {"Retry-After": "0.1"}, 429, bad // 4), Fault("status", status=500, times=bad)]
    faults += [Fault("text", '{"score": 400, "reason": "x"}', times=bad), Fault("text", "eighty", times=bad)]
    _paced(found, sizes, "requests, with faults", limits["requests"], deque(faults), goal=False)
    _killed(found, sizes)
    _budget(found, sizes)
    title = f"{'QUICK, shorter than the goals are for. ' if quick else ''}{TITLE}"
    return Report(title, found.rows, found.goals)


@contextmanager
def _endpoint(latency_s: float, faults: deque[Fault] | None = None) -> Iterator[tuple[Model, Path]]:
    with (
        judge_server(latency_s=latency_s, input_tokens=INPUT, output_tokens=OUTPUT, faults=faults or deque()) as model,
        tempfile.TemporaryDirectory(prefix="lance-assets-bench-") as folder,
    ):
        yield model, Path(folder)


def _paced(
    found: Found, sizes: Sizes, name: str, limit: dict[str, Any], faults: deque[Fault], goal: bool = True
) -> None:
    period, count = sizes.period_s, round(sizes.requests * sizes.periods)
    with _endpoint(sizes.latency_s, faults) as (model, folder):
        config = {**limit, "period_s": period, "ramp_s": sizes.ramp_s, "key_variable": KEY_VARIABLE, "max_tokens": 128}
        with judge(model, folder, **config) as ours:
            begun = time.monotonic()
            scores = ours.score(rows(count))
            wall_s = time.monotonic() - begun
        lost = sum(not isinstance(score, float) for score in scores)
        times = sorted(entry.at for entry in model.log)
        steady = [at for at in times if at >= times[0] + sizes.ramp_s]
        share = (len(steady) - 1) / (steady[-1] - steady[0]) * period / sizes.requests
        of_tokens = "tokens_per_minute" in limit
        most = (
            model.most_tokens(period) / (sizes.requests * (INPUT + OUTPUT))
            if of_tokens
            else (model.most_requests(period) / sizes.requests)
        )
    case = f"{count:,} rows, {sizes.requests} in {period:g} s, answers in {sizes.latency_s:g} s"
    found.rows.append(
        {"what": f"limit of {name}", "case": case, "share": share, "most": most, "lost": lost, "wall_s": wall_s}
    )
    what = name.replace(", ", "_").replace(" ", "_")
    found.goals.append(Goal(f"judge_{what}_in_the_fullest_period_over_the_limit", most, 1.0))
    if goal:
        found.goals.append(Goal(f"judge_time_over_what_the_limit_of_{what}_allows", 1 / share, BOUND))
    found.say(f"limit of {name}: {count:,} rows in {wall_s:.0f} s")


def _killed(found: Found, sizes: Sizes) -> None:
    with _endpoint(0.1) as (model, folder):
        child = asking(model.url, folder, sizes.killed, PLACES, KEY_VARIABLE)
        while len(model.answered()) < sizes.killed // 3 and child.poll() is None:
            time.sleep(0.01)
        child.kill()
        child.wait()
        before = len(model.answered())
        with judge(model, folder, concurrency=PLACES, key_variable=KEY_VARIABLE) as ours:
            ours.score(rows(sizes.killed))
        again = len(model.answered()) - sizes.killed
    case = f"{sizes.killed} rows, after {before} answers, {PLACES} in flight"
    found.rows.append({"what": "kill -9 and rerun", "case": case, "paid_twice": again})
    found.goals.append(Goal("judge_answers_paid_twice_after_a_kill", again, PLACES))
    found.say("killed and run again")


def _budget(found: Found, sizes: Sizes) -> None:
    wanted = sizes.killed // 2
    price = (INPUT * 2.0 + OUTPUT * 8.0) / 1e6
    with _endpoint(0.1) as (model, folder):
        budget = {"prices": {"input": 2.0, "output": 8.0}, "budget": {"money": wanted * price}}
        for _ in range(3):  # whoever asks again spends no more
            with judge(model, folder, concurrency=PLACES, key_variable=KEY_VARIABLE, max_tokens=128, **budget) as ours:
                ours.score(rows(sizes.killed))
        paid = len(model.answered())
    case = f"money for {wanted} of {sizes.killed} rows, asked three times, {PLACES} in flight"
    found.rows.append({"what": "budget", "case": case, "paid": paid, "over": max(0, paid - wanted)})
    found.goals.append(Goal("judge_requests_beyond_the_budget", max(0, paid - wanted), PLACES))
    found.say("spent a budget")
