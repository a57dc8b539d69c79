"""A time limit for a whole attempt, whatever the server does inside it."""

from __future__ import annotations

import socket
import threading
import time


class Watchdog:
    """Cuts the connection of every attempt that ran out of time.

    Prevents: a server that sends one byte of header or body every few seconds never trips a read timeout and would
    hold a worker for hours. One thread watches all attempts; each worker thread has one attempt at a time.
    Costs: an attempt may overrun by `tick_s`.
    """

    def __init__(self, total_s: float, tick_s: float = 0.2) -> None:
        self._total_s, self._tick_s = total_s, min(tick_s, total_s / 4)
        self._attempt = threading.local()
        self._watched: dict[int, tuple[socket.socket, float]] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        threading.Thread(target=self._run, name="fetch-watchdog", daemon=True).start()

    def begin(self) -> None:
        """A new attempt starts in this thread. Its clock starts with its first request: waiting for a free connection
        is not the server's fault."""
        self._attempt.due = None

    def watch(self, sock: socket.socket) -> None:
        """From now on this thread's attempt depends on this socket."""
        if self._attempt.due is None:
            self._attempt.due = time.monotonic() + self._total_s
        with self._lock:
            self._watched[threading.get_ident()] = (sock, self._attempt.due)

    def release(self) -> None:
        """This thread is done with its socket; after that it is never cut, so it may serve somebody else."""
        with self._lock:
            self._watched.pop(threading.get_ident(), None)

    def expired(self) -> bool:
        """Whether this thread's attempt is out of time."""
        return self._attempt.due is not None and time.monotonic() >= self._attempt.due

    def stop(self) -> None:
        """Ends the watching thread."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._tick_s):
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
