"""When a host may be asked: so many requests at a time, so long after the last one, never inside its Retry-After."""

from __future__ import annotations

import threading
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lance_assets.ingest.host_times import LAST_START, NOT_BEFORE, WANTED, HostTimes, MemoryTimes, SharedTimes
from lance_assets.ingest.locks import NUMBERS, NamedLocks, shared_locks

#: A host whose slots are all taken by other processes is looked at again after this time.
LOOK_AGAIN_S = 0.02
#: A slot that another process waits for is left to it for REST_S, by each process at most every YIELD_EVERY_S.
REST_S, YIELD_EVERY_S = 0.03, 0.25
#: A slot that nobody else waits for stays with its process for so long after its last use: that spares system calls.
KEPT_S = 0.2
#: The lock that guards a host's times; slots are numbered from 0.
TIMES = NUMBERS - 1


class Turn(NamedTuple):
    """The slot that was taken (give it back with `leave`), or None and the seconds after which to look again."""

    slot: int | None
    wait_s: float = 0.0


class HostGate:
    """Keeps the limits per host, whoever asks: all threads of this process, and with a shared folder all processes of
    this machine. Never waits.

    Slots are locks that the kernel frees when their process dies; the times of a host lie in shared memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Within one process, use `shared_gate` for a shared folder."""
        self._locks = NamedLocks() if folder is None else shared_locks(folder / "slots.lock")
        self._times: HostTimes = MemoryTimes() if folder is None else SharedTimes(folder / "times", self._locks)
        self._alone = folder is None
        self._guard = threading.Lock()
        self._yielded: dict[str, tuple[float, int]] = {}
        self._kept: dict[str, list[int]] = {}
        self._used: dict[str, float] = {}

    def enter(self, host: str, per_host: int, delay_s: float) -> Turn:
        """A turn to ask the host now, or how long to wait."""
        now = time.time()
        wait = self._times.read(host, NOT_BEFORE) - now
        if wait > 0:
            return Turn(None, wait)
        if delay_s <= 0:
            return self._slot(host, per_host, now)
        if not self._locks.take(host, TIMES):
            return Turn(None, LOOK_AGAIN_S)
        try:
            wait = self._times.read(host, LAST_START) + delay_s - now
            if wait > 0:
                return Turn(None, min(wait, delay_s))
            turn = self._slot(host, per_host, now)
            if turn.slot is not None:
                self._times.write(host, LAST_START, now)
            return turn
        finally:
            self._locks.give(host, TIMES)

    def leave(self, host: str, slot: int) -> None:
        """Gives a slot back. One that another process waits for rests a moment, or that process would never get it."""
        if self._alone:
            self._locks.give(host, slot)
            return
        now = time.time()
        wanted = self._times.read(host, WANTED) > now - 2 * LOOK_AGAIN_S
        with self._guard:
            if not wanted:
                self._used[host] = now
                self._kept.setdefault(host, []).append(slot)
                return
            if now - self._yielded.get(host, (0.0, 0))[0] > YIELD_EVERY_S:
                self._yielded[host] = (now, slot)
        self._locks.give(host, slot)

    def release_idle(self, after_s: float = KEPT_S) -> None:
        """Frees the slots of hosts that this process did not ask for so long. To be called all the time."""
        if not self._kept:
            return
        now = time.time()
        with self._guard:
            idle = [host for host in self._kept if now - self._used[host] >= after_s]
            slots = [(host, slot) for host in idle for slot in self._kept.pop(host)]
            for host in idle:
                del self._used[host]
        for host, slot in slots:
            self._locks.give(host, slot)

    def hold(self, host: str, seconds: float) -> None:
        """Nobody asks the host for so long from now on."""
        until = time.time() + seconds
        with self._locks.held(host, TIMES):
            if until > self._times.read(host, NOT_BEFORE):
                self._times.write(host, NOT_BEFORE, until)

    def _slot(self, host: str, per_host: int, now: float) -> Turn:
        if self._kept:
            with self._guard:
                kept = self._kept.get(host)
                if kept and kept[-1] < per_host:
                    return Turn(kept.pop())
        rested_at, resting = self._yielded.get(host, (0.0, 0))
        for slot in range(per_host):
            if slot == resting and now - rested_at < REST_S:
                continue
            if self._locks.take(host, slot):
                return Turn(slot)
        if not self._alone:
            self._times.write(host, WANTED, now)
        return Turn(None, LOOK_AGAIN_S)


@cache
def shared_gate(folder: Path) -> HostGate:
    """The one gate of this process for a shared folder."""
    return HostGate(folder)
