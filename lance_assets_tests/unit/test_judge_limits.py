"""The judge's limits, on a clock of the tests: what the server counts, and how near to the limits it comes."""

from __future__ import annotations

import heapq
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from lance_assets.scoring.judge.gate import Gate
from lance_assets.scoring.judge.limiter import Held, Limiter, Sending
from lance_assets.scoring.judge.tokens import Estimator


class World:
    """Requests one after the other as the limiter lets them go; the network delays them, the server writes down."""

    def __init__(
        self, requests: int | None = None, tokens: int | None = None, ramp_s: float = 20.0, slack_s: float = 2.0
    ) -> None:
        self.now = 0.0
        self.limiter = Limiter(requests, tokens, 60.0, ramp_s, slack_s, clock=lambda: self.now)
        self.log: list[tuple[float, int]] = []
        self.ends: list[tuple[float, int, Sending, int]] = []

    def run(self, seconds: float, latency: tuple[float, float], tokens: tuple[int, int], guess: float = 1.5) -> None:
        """Each request takes `latency`, and reaches the server some time in it."""
        chance = random.Random(0)
        while self.now < seconds:
            real = chance.randint(*tokens)
            took = self.limiter.try_take(round(real * guess))
            if not isinstance(took, Sending):
                self.wait(took)
                continue
            spent = chance.uniform(*latency)
            self.log.append((self.now + chance.uniform(0, spent), real))
            heapq.heappush(self.ends, (self.now + spent, len(self.log), took, real))

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        if self.ends and self.ends[0][0] <= until:
            self.now, _, ended, tokens = heapq.heappop(self.ends)
            self.limiter.settle(ended, tokens)
        else:
            self.now = until

    def most(self, period: float, of: int) -> int:
        """Requests (`of` 0) or tokens (1) in any period of the server's log."""
        log = sorted(self.log)
        counts = [(at, (1, tokens)[of]) for at, tokens in log]
        most = total = start = 0
        for at, count in counts:
            total += count
            while counts[start][0] <= at - period:
                total -= counts[start][1]
                start += 1
            most = max(most, total)
        return most


@pytest.mark.parametrize("latency", [(0.01, 0.02), (0.2, 1.9), (1.0, 6.0)])
def test_no_minute_of_the_server_holds_more_requests_than_allowed_and_hardly_fewer(latency):
    ours = World(requests=600, slack_s=2.0 if latency[1] < 2 else 10.0)
    ours.run(600, latency, (500, 1500))
    assert ours.most(60, 0) <= 600
    rate = len([at for at, _ in ours.log if at > 60]) / 540 * 60
    assert rate >= (540 if latency[1] < 2 else 520)


@pytest.mark.parametrize("guess", [1.0, 1.3, 3.0])
def test_no_minute_of_the_server_holds_more_tokens_than_allowed_and_hardly_fewer(guess):
    ours = World(tokens=100_000)
    ours.run(600, (0.5, 1.5), (300, 1800), guess)
    assert ours.most(60, 1) <= 100_000
    assert sum(tokens for at, tokens in ours.log if at > 60) / 540 * 60 >= 90_000


def test_both_limits_hold_at_once():
    ours = World(requests=120, tokens=100_000)
    ours.run(600, (0.1, 1.0), (500, 1100))
    assert ours.most(60, 0) <= 120 and ours.most(60, 1) <= 100_000


def test_it_begins_with_a_fifth_of_the_limit_and_grows():
    ours = World(requests=600, ramp_s=20.0)
    ours.run(40, (0.1, 0.2), (1, 1))
    seconds = [sum(start <= at < start + 5 for at, _ in ours.log) for start in (0, 10, 25, 30)]
    assert seconds[0] < 20 < seconds[1] < 45 <= seconds[2] <= 55
    assert 40 <= seconds[3] <= 55


def test_a_request_larger_than_the_limit_goes_alone():
    ours = World(tokens=1000, ramp_s=0.0)
    first = ours.limiter.try_take(5000)
    assert isinstance(first, Sending)
    ours.limiter.settle(first, 900)
    assert not isinstance(ours.limiter.try_take(5000), Sending)
    ours.now = 61.0
    assert isinstance(ours.limiter.try_take(5000), Sending)


def test_a_pause_that_the_server_asks_for_stops_all_and_too_much_halves_the_rate():
    ours = World(requests=600, ramp_s=1000.0)
    ours.run(30, (0.1, 0.2), (1, 1))
    before = len([at for at, _ in ours.log if at > 20])
    ours.limiter.slow_down()
    ours.limiter.slow_down()  # at once again: it is the same sign
    ours.limiter.hold(7.0)
    ours.run(50, (0.1, 0.2), (1, 1))
    assert not [at for at, _ in ours.log if 30.5 < at < 36.5]
    after = len([at for at, _ in ours.log if at > 40])
    assert 0.4 * before < after < 0.65 * before


def test_who_waits_for_the_limits_gives_up_when_the_server_asks_for_a_long_pause():
    limiter = Limiter(requests=1, tokens=None, period_s=60.0, patience_s=5.0)
    limiter.take(1)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(limiter.take, 1) for _ in range(2)]
        limiter.hold(3600.0)
        for one in waiting:
            with pytest.raises(Held, match="wants a pause of 3600 s"):
                one.result(10)


def test_without_limits_nothing_waits():
    ours = World()
    assert all(isinstance(ours.limiter.try_take(10**9), Sending) for _ in range(1000))


class Busy:
    """An endpoint that always has as many requests as the gate allows. It answers in about a second while at most
    `places` are asked at a time, more slowly beyond."""

    def __init__(self, gate: Gate, places: int, seed: int = 0) -> None:
        self.gate, self.places, self.now, self.answered = gate, places, 0.0, 0
        self.ends: list[tuple[float, float]] = []
        self.chance, self.slower = random.Random(seed), 1.0

    def run(self, until: float) -> None:
        while self.now < until:
            while len(self.ends) < self.gate.limit:
                self.gate.enter()
                latency = self.slower * self.chance.lognormvariate(0, 0.4) * max(1.0, len(self.ends) / self.places)
                heapq.heappush(self.ends, (self.now + latency, latency))
            self.now, latency = heapq.heappop(self.ends)
            self.gate.leave(latency)
            self.answered += 1


def test_places_double_per_round_trip_up_to_the_bound_while_latency_stays():
    busy = Busy(Gate(64), 1000)
    busy.run(2.0)
    assert 8 <= busy.gate.limit <= 40
    busy.run(10.0)
    assert busy.gate.limit == 64
    busy.run(1000.0)
    assert busy.gate.limit == 64  # latencies that scatter are no sign of too much


def test_places_stop_growing_when_answers_come_more_slowly():
    busy = Busy(Gate(1000), 20)
    busy.run(3000.0)
    assert 20 <= busy.gate.limit <= 60
    assert busy.answered >= 0.9 * 20 * 3000


def test_an_endpoint_that_is_slower_from_now_on_gets_its_places_back():
    busy = Busy(Gate(64), 1000)
    busy.run(20.0)
    busy.slower = 5.0
    busy.run(1500.0)
    assert busy.gate.limit == 64


def test_too_many_requests_halve_the_places_once_per_round_trip_and_never_below_one():
    now = 0.0
    gate = Gate(64, clock=lambda: now)
    Busy(gate, 1000).run(30.0)
    before = gate.limit
    for _ in range(before - 1):  # all but one that is under way are answered at once
        gate.leave(overload=True)
    assert gate.limit == before // 2
    for _ in range(20):
        now += 10.0
        gate.enter()
        gate.leave(overload=True)
    assert gate.limit == 1


def test_expected_tokens_follow_what_the_server_counts_and_stay_above_it():
    expected = Estimator(300)
    assert expected.input_tokens("x" * 1000, 1024, 1024) > 1300
    expected.learn("x" * 1000, 1024, 1024, 5000)
    assert 5000 < expected.input_tokens("x" * 1000, 1024, 1024) < 6000
    for _ in range(64):
        expected.learn("x" * 1000, 1024, 1024, 900)
    assert 900 < expected.input_tokens("x" * 1000, 1024, 1024) < 1000
