"""Threads that take the most valuable waiting row first."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class Crew:
    """A pool of at most `most` threads, started when there is work. Unlike the pool of the standard library it takes
    work by its value, highest first, whichever call it came with; equals in the order in which they came."""

    def __init__(self, most: int, name: str) -> None:
        self.most, self.name = most, name
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._threads = self._idle = 0
        self._closed = False

    def submit(self, value: float, act: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(act())
            except BaseException as error:  # whoever waits for the future gets it
                future.set_exception(error)

        with self._changed:
            heapq.heappush(self._waiting, (-value, next(self._numbers), run))
            if self._idle < len(self._waiting) and self._threads < self.most:
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self.name}-{self._threads}", daemon=True).start()
            self._changed.notify()
        return future

    def close(self) -> None:
        """Ends the threads once nothing waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                while not self._waiting and not self._closed:
                    self._changed.wait()
                self._idle -= 1
                if not self._waiting:
                    self._threads -= 1
                    return
                _, _, run = heapq.heappop(self._waiting)
            run()
