"""Pooled HTTP connections that connect only to checked addresses."""

from __future__ import annotations

import socket
import time
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPResponse, PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection

from lance_assets import __version__
from lance_assets.ingest.addresses import AddressGuard
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import FetchError
from lance_assets.ingest.watchdog import Watchdog

HEADERS = {
    "User-Agent": f"lance-assets/{__version__} (image data set builder)",
    "Accept": "image/*",
    "Accept-Encoding": "identity",
}


def open_socket(guard: AddressGuard, host: str, port: int, timeout_s: float) -> socket.socket:
    """A TCP connection to the first address of the host that answers, no second look-up. Raises FetchError: dns,
    blocked_address, timeout, connection."""
    give_up = time.monotonic() + 2 * timeout_s
    problem: OSError | None = None
    for family, sockaddr in guard.resolve(host, port):
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(0.001, min(timeout_s, give_up - time.monotonic())))
            sock.connect(sockaddr)
            return sock
        except OSError as error:
            sock.close()
            problem = error
    reason = "timeout" if isinstance(problem, TimeoutError) else "connection"
    raise FetchError(reason, f"no connection to {host}:{port}: {problem}") from problem


def connection_classes(guard: AddressGuard, watchdog: Watchdog, connect_s: float) -> dict[str, Any]:
    """By scheme: urllib3's own connections with two changes: the socket goes to a checked address (Host header and TLS
    name stay those of the URL), and the watchdog knows the socket from the moment the answer is awaited."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _tuned(open_socket(guard, self._dns_host, self.port, connect_s), self.socket_options)

        def getresponse(self) -> HTTPResponse:
            watchdog.watch(self.sock)
            return super().getresponse()

    class Tls(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _tuned(open_socket(guard, self._dns_host, self.port, connect_s), self.socket_options)

        def getresponse(self) -> HTTPResponse:
            watchdog.watch(self.sock)
            return super().getresponse()

    return {"http": Plain, "https": Tls}


def _tuned(sock: socket.socket, options: Any) -> socket.socket:
    for option in options or ():
        sock.setsockopt(*option)
    return sock


class GuardedPools(PoolManager):
    """A pool of connections per host, at most `limits.per_host` each. Proxies of the environment are not used: through
    a proxy nobody could say which address is reached."""

    def __init__(self, limits: Limits, guard: AddressGuard, watchdog: Watchdog) -> None:
        super().__init__(
            num_pools=64,
            headers=HEADERS,
            maxsize=limits.per_host,
            block=True,
            retries=False,
            timeout=Timeout(connect=limits.connect_s, read=limits.read_s),
        )
        self._classes = connection_classes(guard, watchdog, limits.connect_s)

    def _new_pool(
        self, scheme: str, host: str, port: int, request_context: dict[str, Any] | None = None
    ) -> HTTPConnectionPool:
        pool = super()._new_pool(scheme, host, port, request_context)
        pool.ConnectionCls = self._classes[scheme]
        return pool
