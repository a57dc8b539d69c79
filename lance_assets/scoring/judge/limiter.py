"""Requests and tokens per minute, never exceeded as the server counts them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

#: The share of the limits to begin with; that of a minute's allowance that may be saved up, and requests at least:
#: what a busy machine sends late it can send after all. The window bounds it.
FROM, BURST, FEWEST = 0.2, 0.05, 2.0
#: Less is not worth a wait, and would be lost in rounding.
SHORTEST_S = 0.001


@dataclass(eq=False)
class Sending:
    """A request as the limits see it."""

    sent: float
    tokens: int
    ended: float | None = None
    counts: bool = True


class Held(Exception):
    """The server asked for a longer pause than anybody waits for; the message says how long."""


class Limiter:
    """Two guards. A token bucket spreads the requests evenly, at a share of the limits that grows from a fifth to all
    within `ramp_s` and halves when the server says that it is too much. A sliding window is strict: a request counts
    for a period from the moment by which it must have reached the server (its answer, at the latest `slack_s` after it
    was sent), so that no period on the server's clock holds more than the limit, whatever the network delays.

    Threads share it. Times are those of a monotonic clock.
    """

    def __init__(
        self,
        requests: int | None,
        tokens: int | None,
        period_s: float = 60.0,
        ramp_s: float = 20.0,
        slack_s: float = 2.0,
        patience_s: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`requests` and `tokens` are limits of a period, if any. `patience_s`: the longest pause to wait for."""
        self.requests, self.tokens, self.period_s, self.slack_s = requests, tokens, period_s, slack_s
        self.patience_s = patience_s
        self._growth = (1 - FROM) / ramp_s if ramp_s else 1e9
        self._clock, self._changed, self._turn = clock, threading.Condition(threading.RLock()), threading.Lock()
        self._window: deque[Sending] = deque()
        self._in_window = 0
        self._share, self._filled = FROM if ramp_s else 1.0, clock()
        self._allowed = {"requests": 1.0, "tokens": (tokens or 0) * BURST}
        self._held_until = self._slowed = float("-inf")

    def take(self, tokens: int) -> Sending:
        """Waits until a request of so many tokens may be sent; whoever came first goes first. Raises Held."""
        with self._turn, self._changed:
            while not isinstance(taken := self.try_take(tokens), Sending):
                self._changed.wait(taken)
            return taken

    def try_take(self, tokens: int) -> Sending | float:
        """The request, which is to be sent at once, or the seconds until it is worth trying again. Raises Held."""
        with self._changed:
            if (held := self._held_until - self._clock()) > self.patience_s:
                raise Held(f"the endpoint wants a pause of {held:.0f} s")
            cost = tokens if self.tokens is None else min(tokens, self.tokens)
            if (wait := self._wait(cost)) > 0:
                return max(wait, SHORTEST_S)
            sending = Sending(self._clock(), cost)
            self._window.append(sending)
            self._in_window += cost
            self._allowed["requests"] -= 1
            self._allowed["tokens"] -= cost
            return sending

    def settle(self, sending: Sending, tokens: int | None) -> None:
        """The request has ended with so many tokens; None = with as many as expected."""
        with self._changed:
            sending.ended = self._clock()
            self._fill(sending.ended)
            if tokens is not None:
                difference, sending.tokens = tokens - sending.tokens, tokens
                self._in_window += difference if sending.counts else 0
                self._allowed["tokens"] -= difference
            self._changed.notify()

    def hold(self, seconds: float) -> None:
        """Nothing is sent for so long: the server asked for it."""
        with self._changed:
            self._held_until = max(self._held_until, self._clock() + seconds)
            self._changed.notify()

    def slow_down(self) -> None:
        """Halves the share of the limits, at most once a second."""
        with self._changed:
            now = self._clock()
            if now - self._slowed >= min(1.0, self.period_s):
                self._fill(now)
                self._share, self._slowed = max(FROM / 4, self._share / 2), now

    def _wait(self, tokens: int) -> float:
        """Seconds until it is worth looking again; 0 = go."""
        now = self._clock()
        self._fill(now)
        self._expire(now)
        waits = [self._held_until - now]
        if self.requests is not None:
            waits.append((1 - self._allowed["requests"]) * self.period_s / (self.requests * self._share))
            if len(self._window) >= self.requests:
                waits.append(self._leaves(self._window[0]) - now)
        if self.tokens is not None:
            due = min(tokens, self.tokens * BURST) - self._allowed["tokens"]  # a large one goes into debt
            waits.append(due * self.period_s / (self.tokens * self._share))
            if self._window and self._in_window + tokens > self.tokens:
                waits.append(self._leaves(self._window[0]) - now)
        return max(0.0, max(waits))

    def _fill(self, now: float) -> None:
        passed, self._filled = now - self._filled, now
        grown = min(1.0, self._share + passed * self._growth)
        mean, self._share = (self._share + grown) / 2, grown
        for name, limit in (("requests", self.requests), ("tokens", self.tokens)):
            if limit is not None:
                allowed = self._allowed[name]  # what ended requests left over may be more than can be saved up
                most = max(FEWEST, limit * BURST, allowed)
                self._allowed[name] = min(most, allowed + passed * mean * limit / self.period_s)

    def _expire(self, now: float) -> None:
        while self._window and self._leaves(self._window[0]) <= now:
            gone = self._window.popleft()
            gone.counts = False
            self._in_window -= gone.tokens

    def _leaves(self, sending: Sending) -> float:
        """When a request stops counting."""
        arrived = sending.sent + self.slack_s
        if sending.ended is not None:
            arrived = min(arrived, sending.ended)
        return arrived + self.period_s
