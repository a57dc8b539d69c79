"""How many requests are in flight: as many as the endpoint takes without answering more slowly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: To begin with, and the least that slow answers lead to; how much slower than at best an answer may be.
START, SLOWER = 4.0, 2.0
#: Answers over which latencies are averaged, at least: those of one round trip where that is more.
AVERAGED = 16


class Gate:
    """Additive increase, multiplicative decrease. Until the first sign of too much, every answer adds one (so the
    number doubles per round trip); later, those of a round trip together add one. Where answers take twice as long as
    at best, they take one away instead; at the least number that is not our doing, and becomes the new best. Too many
    requests, or a timeout, halves the number, once per round trip. Threads share it.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self._clock = most, clock
        self._limit = min(START, float(most))
        self._active, self._eager = 0, True
        self._mean = self._best = 0.0
        self._halved = float("-inf")
        self._changed = threading.Condition()

    @property
    def limit(self) -> int:
        """Requests that may be in flight now."""
        return int(self._limit)

    def enter(self) -> None:
        """Waits for a place."""
        with self._changed:
            while self._active >= self.limit:
                self._changed.wait()
            self._active += 1

    def leave(self, latency_s: float | None = None, overload: bool = False) -> None:
        """Gives the place back; `latency_s` of a request that was answered."""
        with self._changed:
            full = self._active >= self.limit
            self._active -= 1
            if overload:
                self._halve()
            elif latency_s is not None:
                self._learn(latency_s)
                self._tune(full)
            self._changed.notify_all()

    def _learn(self, latency_s: float) -> None:
        weight = 1 / max(AVERAGED, self._limit)
        self._mean = latency_s if not self._mean else self._mean + weight * (latency_s - self._mean)
        self._best = self._mean if not self._best else min(self._best, self._mean)

    def _tune(self, full: bool) -> None:
        least = min(START, float(self.most))
        if self._mean > SLOWER * self._best:
            self._eager = False
            self._limit = max(least, self._limit - 1 / self._limit)
            if self._limit == least:
                self._eager, self._best = True, self._mean
        elif full:  # places that nobody needs say nothing about the endpoint
            self._limit = min(float(self.most), self._limit + (1.0 if self._eager else 1.0 / self._limit))

    def _halve(self) -> None:
        now = self._clock()
        if now - self._halved >= self._mean:
            self._eager, self._halved = False, now
            self._limit = max(1.0, self._limit / 2)
