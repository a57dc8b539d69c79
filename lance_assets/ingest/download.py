"""One `fetch_all`: tasks, the worker threads that carry them on hop by hop, and their outcomes in input order."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from itertools import islice

from lance_assets.ingest.backlog import Backlog
from lance_assets.ingest.hops import Hops
from lance_assets.ingest.outcome import Fetched, FetchError, Outcome
from lance_assets.ingest.robots import Verdict, failed
from lance_assets.ingest.schedule import LONGEST_WAIT_S, Schedule
from lance_assets.ingest.task import Task
from lance_assets.ingest.urls import Place, place_of

log = logging.getLogger(__name__)

#: How often a robots.txt that another process asks for is looked for, and how long threads get to end.
LOOK_AGAIN_S, END_S = 0.05, 10.0
#: Seconds between two looks of the reader for what came: to wake it for each image costs two changes of thread.
READ_S = 0.1
#: Failures that pass, but not while we wait.
LATER = ("robots_unavailable", "host_too_slow")


class Download:
    """Carries the tasks of one `fetch_all` to their outcomes. A failure of any kind stays with its own row."""

    def __init__(
        self,
        hops: Hops,
        tasks: Iterator[Task],
        count: int,
        window: int,
        backlog: Backlog,
        landed: Callable[[int, Outcome], None],
    ) -> None:
        """`count` tasks, numbered from 0; at most `window` of them are under way beyond what the reader took."""
        self._hops, self._tasks, self._count, self._window, self._landed = hops, tasks, count, window, landed
        self._limits = hops.limits
        self._schedule = Schedule(hops.gate, self._limits.per_host, backlog)
        self._outcomes: dict[int, Outcome] = {}
        self._arrived = threading.Condition(threading.Lock())
        self._given = self._finished = 0
        self._broken: BaseException | None = None
        self._parked: dict[str, list[Task]] = {}
        self._parking = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()

    def outcomes(self, threads: int) -> Generator[Outcome, None, None]:
        """In input order. Threads start with the first one and end with the last, or when the reader leaves."""
        self._given = min(self._window, self._count)
        self._schedule.put(*islice(self._tasks, self._window))
        try:
            self._start(threads)
            for number in range(self._count):
                outcome = self._await(number)
                self._schedule.taken(len(outcome.data) if isinstance(outcome, Fetched) else 0)
                if (following := next(self._tasks, None)) is not None:
                    self._given += 1
                    self._schedule.put(following)
                yield outcome
        finally:
            self.stop()

    def stop(self) -> None:
        """Ends the threads, in the middle of a request if need be, and waits for them."""
        with self._starting:
            self._break(RuntimeError("this fetcher is closed"))
        self._schedule.close()
        give_up = time.monotonic() + END_S
        while (alive := [thread for thread in self._threads if thread.is_alive()]) and time.monotonic() < give_up:
            self._hops.watchdog.cut(thread.ident for thread in alive)
            alive[0].join(0.02)
        if alive:
            log.warning("%d downloads are stuck in a name look-up or a connection; they end by themselves", len(alive))

    def _start(self, threads: int) -> None:
        with self._starting:
            if self._broken is not None:
                return  # stopped meanwhile, and nobody would wait for these threads
            for number in range(threads):
                thread = threading.Thread(target=self._work, name=f"fetch-{number}", daemon=True)
                thread.start()
                self._threads.append(thread)

    def _await(self, number: int) -> Outcome:
        with self._arrived:
            while self._broken is None and number not in self._outcomes:
                self._arrived.wait(READ_S)
            if self._broken is not None:
                raise self._broken
            return self._outcomes.pop(number)

    def _break(self, error: BaseException) -> None:
        with self._arrived:
            self._broken = self._broken or error
            self._arrived.notify()

    def _work(self) -> None:
        try:
            self._schedule.begin()
            while (task := self._schedule.take()) is not None:
                self._carry_on(task)
        except BaseException as error:
            self._break(error)  # the reader raises it: without this thread it might wait for ever

    def _carry_on(self, task: Task) -> None:
        try:
            outcome = self._advance(task)
        except FetchError as error:
            outcome = self._failed(task, error)
        except Exception as error:  # a fault of ours must not take the other rows along, nor go unseen
            log.exception("download of %r failed in an unforeseen way", task.url)
            outcome = self._failed(task, FetchError("internal_error", f"{type(error).__name__}: {error}"))
        if outcome is not None:
            self._finish(task, outcome)

    def _finish(self, task: Task, outcome: Outcome) -> None:
        if self._broken is not None:
            return  # cut off in the middle: not an outcome
        self._landed(task.number, outcome)
        self._schedule.landed(len(outcome.data) if isinstance(outcome, Fetched) else 0)
        with self._arrived:
            self._outcomes[task.number] = outcome
            self._finished += 1
            if self._finished >= self._given:
                self._arrived.notify()  # nothing else is under way; else the reader looks by itself

    def _advance(self, task: Task) -> Outcome | None:
        """One step of a task: its outcome, or None when it goes on elsewhere, where another thread may already have
        it."""
        if task.refused_s is not None:
            raise FetchError("http_429", "the host asked to be left alone", task.attempt, task.refused_s)
        if task.slot is None:
            if task.robots_of is not None:
                self._ask_for_rules(task, task.robots_of)
            else:
                task.place = place_of(task.url)
                self._send(task, task.place)
            return None
        if task.robots_of is not None:
            found = self._hops.rules(task, self._schedule)
            if isinstance(found, Verdict):
                self._settle(task.robots_of, found)
                return None
        else:
            found = self._hops.image(task, self._schedule)
            if not isinstance(found, Place):
                return found
        task.place = found
        self._send(task, found)
        return None

    def _failed(self, task: Task, error: FetchError) -> FetchError | None:
        """A transient failure goes back into the schedule; the outcome otherwise."""
        again = error.transient and error.reason not in LATER and task.attempt < self._limits.attempts
        self._schedule.done(task)
        if again and (error.retry_after or 0) <= LONGEST_WAIT_S:
            wait = self._hops.pause(task.attempt) if error.retry_after is None else error.retry_after
            task.attempt += 1
            task.hops, task.spent_s = 0, 0.0
            if task.robots_of is not None:
                self._hops.robots.unclaim(task.robots_of)
            self._schedule.put_later(task, wait)
            return None
        attempts = error.attempts if error.reason == "robots_unavailable" else task.attempt
        final = FetchError(error.reason, error.detail, attempts, error.retry_after, error.status, error.fetched_at)
        if task.robots_of is not None:
            self._settle(task.robots_of, failed(final, at_home=task.hops == 0))
            return None
        return final

    def _send(self, task: Task, place: Place) -> None:
        """Puts a task into the queue of its host, once robots.txt allows it. Raises FetchError."""
        delay_s = self._limits.host_delay_s
        if self._limits.robots and task.robots_of is None:
            verdict = self._verdict(task, place)
            if verdict is None:
                return
            verdict.check(place.target)
            if verdict.delay_s * self._schedule.waiting(place.server) > self._limits.host_wait_s:
                raise FetchError("host_too_slow", f"its robots.txt allows one request in {verdict.delay_s:g} s")
            delay_s = max(delay_s, verdict.delay_s)
        self._schedule.put_host(task, place.server, delay_s)

    def _verdict(self, task: Task, place: Place) -> Verdict | None:
        """What the origin's robots.txt says; None = the task is parked until that is known."""
        origin = place.origin
        # where tasks are parked nothing is known, and each look for it on the disk would be in vain
        if origin not in self._parked and (verdict := self._hops.robots.known(origin)) is not None:
            return verdict
        with self._parking:
            if origin not in self._parked:
                if (verdict := self._hops.robots.known(origin)) is not None:
                    return verdict
                self._parked[origin] = []
            parked = self._parked[origin]
            parked.append(task)
            first = len(parked) == 1
        if first:
            self._schedule.put(Task(-1, place.sibling("/robots.txt").url, robots_of=origin))
        return None

    def _ask_for_rules(self, task: Task, origin: str) -> None:
        """One process of the machine asks for a robots.txt, the others look for what it found."""
        if self._hops.robots.known(origin) is not None:
            self._unpark(origin)
        elif self._hops.robots.claim(origin):
            task.place = place_of(task.url)
            self._send(task, task.place)
        else:
            self._schedule.put_later(task, LOOK_AGAIN_S)

    def _settle(self, origin: str, verdict: Verdict) -> None:
        self._hops.robots.keep(origin, verdict)
        self._hops.robots.unclaim(origin)
        self._unpark(origin)

    def _unpark(self, origin: str) -> None:
        with self._parking:
            tasks = self._parked.pop(origin, [])
        self._schedule.put(*tasks)
