"""A time limit for a whole attempt, whatever the server does inside it."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable

log = logging.getLogger(__name__)

#: Seconds that `stop` waits at most.
END_S = 10.0


class Watchdog:
    """Cuts the connection of every attempt that ran out of time.

    Prevents: a server that sends one byte of header or body every few seconds never trips a read timeout and would
    hold a worker for hours. One thread watches all attempts; each worker thread has one request at a time.
    Costs: an attempt may overrun by `tick_s`.
    """

    def __init__(self, total_s: float, tick_s: float = 0.2, tick: Callable[[], None] = lambda: None) -> None:
        """`tick` is called with every look."""
        self._tick_s = min(tick_s, total_s / 4)
        self._tick = tick
        self._attempt = threading.local()
        self._watched: dict[int, tuple[socket.socket, float]] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts watching."""
        self._thread = threading.Thread(target=self._run, name="fetch-watchdog", daemon=True)
        self._thread.start()

    def begin(self, budget_s: float) -> None:
        """This thread's request may take so long. Its clock starts when the answer is awaited."""
        self._attempt.budget_s, self._attempt.started = budget_s, None

    def watch(self, sock: socket.socket) -> None:
        """From now on this thread's request depends on this socket."""
        if self._attempt.started is None:
            self._attempt.started = time.monotonic()
        with self._lock:
            self._watched[threading.get_ident()] = (sock, self._attempt.started + self._attempt.budget_s)

    def release(self) -> float:
        """This thread is done with its socket; after that it is never cut, so it may serve somebody else. Returns the
        seconds that the request took."""
        if threading.get_ident() in self._watched:
            with self._lock:
                self._watched.pop(threading.get_ident(), None)
        started = self._attempt.started
        return 0.0 if started is None else time.monotonic() - started

    def expired(self) -> bool:
        """Whether this thread's request is out of time."""
        started = self._attempt.started
        return started is not None and time.monotonic() >= started + self._attempt.budget_s

    def cut(self, threads: Iterable[int | None]) -> None:
        """Ends the requests of these threads (their idents) now."""
        with self._lock:
            for thread in threads:
                if watched := self._watched.pop(thread or 0, None):
                    _cut(watched[0])

    def stop(self) -> None:
        """Ends the watching thread and waits for it. Not where that would be for ever: called by this very thread, or
        when the interpreter ends, which freezes it."""
        self._stopped.set()
        thread = self._thread
        if thread is None or thread is threading.current_thread() or sys.is_finalizing():
            return
        thread.join(END_S)
        if thread.is_alive():
            log.warning("the watchdog of the downloads did not end within %g s", END_S)

    def _run(self) -> None:
        while not self._stopped.wait(self._tick_s):
            self._tick()
            now = time.monotonic()
            with self._lock:
                for thread, (sock, due) in list(self._watched.items()):
                    if due <= now:
                        del self._watched[thread]
                        _cut(sock)


def _cut(sock: socket.socket) -> None:
    """Wakes a reader of the socket with an end of stream. The plain socket method also for TLS: it leaves the TLS
    state, which the reader is using, alone."""
    try:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return  # closed by its reader in the meantime: nothing left to cut
