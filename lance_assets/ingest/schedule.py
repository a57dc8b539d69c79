"""Which request is next: a queue per host instead of threads that sleep."""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from lance_assets.ingest.backlog import Backlog
from lance_assets.ingest.gate import HostGate
from lance_assets.ingest.task import Task

#: A host that wants to be left alone for longer is not waited for.
LONGEST_WAIT_S = 60.0
#: Workers that are woken to use the processor at a time. More would only hand the interpreter's lock to and fro.
AT_ONCE = 1
#: A worker that took nothing for so long and did not say that it waits counts as stuck: another one goes on.
STUCK_S = 0.05
#: A host that takes longer than this is slow: to send the next request right away is worth more than the quiet.
SLOW_S = 0.005


class _Host:
    __slots__ = ("active", "delay_s", "due", "name", "queue")

    def __init__(self, name: str) -> None:
        self.name = name
        self.queue: list[tuple[int, int, Task]] = []
        self.active = 0
        self.delay_s = 0.0
        self.due = False
        """Whether it stands among the hosts to look at."""


class Schedule:
    """Tasks of one `fetch_all`, handed to worker threads.

    A task is ready at once (`put`), later (`put_later`), or when its host may be asked (`put_host`). Hosts take turns,
    the lowest number of each first; who holds back (a host, the gate, the backlog) holds back nobody else.

    As many workers are awake as there is something to wait for: a sleeping one is woken when all others wait for a
    host (`aside`) or sleep. So a host that answers at once is served by one thread, which does not fight others for
    the interpreter, and one that takes its time by all: whoever has an answer of it asks it again before another one's
    answer is looked at. One of the sleepers watches the clock.
    """

    def __init__(self, gate: HostGate, per_host: int, backlog: Backlog) -> None:
        self._gate, self._per_host, self._backlog = gate, per_host, backlog
        self._lock = threading.Lock()
        self._count = itertools.count()
        self._ready: deque[Task] = deque()
        self._later: list[tuple[float, int, Task]] = []
        self._hosts: dict[str, _Host] = {}
        self._due: list[tuple[float, int, _Host]] = []
        self._held: list[_Host] = []
        self._sleeping: list[threading.Lock] = []
        self._busy = 0
        self._taken_at = self._slow_until = 0.0
        self._watched_until = math.inf
        self._closed = False

    def put(self, *tasks: Task) -> None:
        with self._lock:
            self._ready.extend(tasks)
            self._stir()

    def put_later(self, task: Task, wait_s: float) -> None:
        with self._lock:
            heapq.heappush(self._later, (time.monotonic() + wait_s, next(self._count), task))
            self._stir()

    def put_host(self, task: Task, server: str, delay_s: float) -> None:
        """`delay_s` between two starts counts for all tasks of the host from now on."""
        with self._lock:
            task.server = server
            host = self._hosts.get(server) or self._hosts.setdefault(server, _Host(server))
            host.delay_s = delay_s
            heapq.heappush(host.queue, (task.number, next(self._count), task))
            self._look_at(host, 0.0)
            self._stir()

    def waiting(self, server: str) -> int:
        """Tasks that wait for their turn at a host."""
        with self._lock:
            host = self._hosts.get(server)
            return len(host.queue) if host else 0

    def begin(self) -> None:
        """A worker is there; to be called by it before it takes its first task."""
        with self._lock:
            self._busy += 1

    def take(self) -> Task | None:
        """Ends the caller's last task and waits for one that may go on now; None once closed. A task of a host holds a
        slot of it until `done`."""
        with self._lock:
            self._busy -= 1
            while not self._closed:
                now = time.monotonic()
                mine = self._busy < AT_ONCE or now >= self._taken_at + STUCK_S or now < self._slow_until
                if mine and (task := self._pick(now)) is not None:
                    self._busy += 1
                    self._taken_at = now
                    if self._sleeping and self._watched_until > now + STUCK_S:
                        self._ring()  # somebody must watch the clock, and whether this worker gets stuck
                    return task
                self._sleep(now)
            return None

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The calling worker waits for a host in here: another one may go on meanwhile."""
        with self._lock:
            self._busy -= 1
            self._stir()
        begun = time.monotonic()
        try:
            yield
        finally:
            now = time.monotonic()
            with self._lock:
                self._busy += 1
                if now - begun > SLOW_S:
                    self._slow_until = now + (now - begun)

    def done(self, task: Task) -> None:
        """The task's request is over: its slot is free."""
        if task.slot is None:
            return
        self._gate.leave(task.server, task.slot)
        task.slot = None
        with self._lock:
            host = self._hosts[task.server]
            host.active -= 1
            if host.queue:
                self._look_at(host, 0.0)
                self._stir()
            elif not host.active and not host.due:
                del self._hosts[host.name]

    def landed(self, size: int) -> None:
        """An outcome of so many bytes waits for the reader."""
        with self._lock:
            self._backlog.add(size)

    def taken(self, size: int) -> None:
        """The reader took the next outcome."""
        with self._lock:
            self._backlog.take(size)
            if self._held:
                for host in self._held:
                    self._look_at(host, 0.0)
                self._held.clear()
                self._stir()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            while self._sleeping:
                self._ring()

    def _stir(self) -> None:
        """Wakes a worker where nobody is at work and there is something to do earlier than the clock's watcher
        knows."""
        if self._busy < AT_ONCE and self._sleeping and self._wake() < self._watched_until:
            self._ring()

    def _ring(self) -> None:
        self._busy += 1  # from now on, so that one is called only once
        self._sleeping.pop().release()

    def _sleep(self, now: float) -> None:
        """Until somebody rings; who would be the first to wake by the clock watches it for all."""
        bell = threading.Lock()
        bell.acquire()
        self._sleeping.append(bell)
        wake = self._wake() if self._busy < AT_ONCE else now + STUCK_S
        watches = wake < self._watched_until
        if watches:
            self._watched_until = wake
        self._lock.release()
        try:
            bell.acquire(timeout=max(0.0, wake - now) if watches and wake < math.inf else -1)
        finally:
            self._lock.acquire()
            if watches and self._watched_until == wake:
                self._watched_until = math.inf
            if bell in self._sleeping:
                self._sleeping.remove(bell)
            else:
                self._busy -= 1

    def _wake(self) -> float:
        """When there is something to do next, as far as time decides."""
        if self._ready:
            return 0.0
        return min([queue[0][0] for queue in (self._later, self._due) if queue], default=math.inf)

    def _pick(self, now: float) -> Task | None:
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[2])
        if self._ready:
            return self._ready.popleft()
        while self._due and self._due[0][0] <= now:
            host = heapq.heappop(self._due)[2]
            host.due = False
            if task := self._next_of(host, now):
                return task
        return None

    def _next_of(self, host: _Host, now: float) -> Task | None:
        if not host.queue or host.active >= self._per_host:
            if not host.queue and not host.active:
                del self._hosts[host.name]
            return None  # `done` looks again
        if not self._backlog.admits(host.queue[0][0]):
            self._held.append(host)
            return None
        turn = self._gate.enter(host.name, self._per_host, host.delay_s)
        if turn.wait_s > LONGEST_WAIT_S:
            task = heapq.heappop(host.queue)[2]
            task.refused_s = turn.wait_s
            self._look_at(host, 0.0)
            return task
        if turn.slot is None:
            self._look_at(host, now + turn.wait_s)
            return None
        task = heapq.heappop(host.queue)[2]
        task.slot = turn.slot
        host.active += 1
        if host.queue:
            self._look_at(host, now + host.delay_s)
        return task

    def _look_at(self, host: _Host, when: float) -> None:
        """`when` in monotonic seconds, 0 = at once."""
        if not host.due:
            host.due = True
            heapq.heappush(self._due, (when or time.monotonic(), next(self._count), host))
