"""A loopback image server that fails on demand, and remembers what it was asked for."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Any

from lance_assets_tests.fault_answers import Handler
from lance_assets_tests.fault_files import jpeg

__all__ = ["FaultHTTPServer", "FaultServer", "jpeg", "until"]


class FaultHTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tls = tls
        self.hits: Counter[str] = Counter()
        self.requests: list[tuple[str, str]] = []
        self.times: list[tuple[str, float]] = []
        self.headers: list[dict[str, str]] = []
        self.robots: tuple[int, bytes, dict[str, str]] = (404, b"nothing here", {})
        self.neighbour = ""
        self.refused = 0.0
        self.active = self.most_active = 0
        self.connections = 0
        self.lock = threading.Lock()
        self.stopping = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients under test hang up on purpose, also in the middle of a handshake; other errors are printed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        with suppress(OSError):  # the reset fault has closed it
            super().shutdown_request(request)


class FaultServer:
    """`with FaultServer() as server: server.url("ok")`; requests are [(path, Host header)] in order of arrival, images
    those that were not for robots.txt. `log` is the server itself: its times, headers and counters."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls

    def __enter__(self) -> FaultServer:
        self.log = self._http = FaultHTTPServer(self._tls)
        self.requests = self._http.requests
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.port = self._http.server_port
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.stopping.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def images(self) -> list[tuple[str, str]]:
        return [request for request in self.requests if request[0] != "/robots.txt"]

    def robots(self, text: str | bytes = b"", status: int = 200, **headers: str) -> None:
        """What robots.txt says from now on; at first there is none."""
        self.log.robots = (status, text.encode() if isinstance(text, str) else text, headers)

    @property
    def connections(self) -> int:
        """Connections accepted so far."""
        return self._http.connections

    def url(self, kind: str, rest: str | int = 0) -> str:
        """A URL of one fault; the same `rest` is the same URL, which counts for the faults that end."""
        return f"http://{self.host}/{kind}/{rest}"


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Waits for something that must happen, also on a busy machine."""
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.005)
