"""HTTP connections that go only to checked addresses, kept for the next request."""

from __future__ import annotations

import re
import select
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from http.client import InvalidURL

from lance_assets import __version__
from lance_assets.ingest.addresses import AddressGuard
from lance_assets.ingest.answer import Response
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.optout import AGENT
from lance_assets.ingest.outcome import FetchError
from lance_assets.ingest.urls import PORTS, Place
from lance_assets.ingest.watchdog import Watchdog

HEADERS = {
    "User-Agent": f"{AGENT}/{__version__} (image data set builder)",
    "Accept": "image/*",
    "Accept-Encoding": "identity",
}
CRLF = "\r\n"
_ALWAYS = "".join(f"{name}: {value}{CRLF}" for name, value in HEADERS.items())
_BREAKS = re.compile(r"[\x00-\x20\x7f]")
#: Origins whose idle connections are kept.
ORIGINS = 128
#: Waiting for so long costs less than it costs to let another thread go on meanwhile.
PATIENCE_S = 0.001

#: A context in which a thread waits for others.
Aside = Callable[[], AbstractContextManager[None]]


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


def request(target: str, host: str, headers: Mapping[str, str]) -> bytes:
    """A GET as it goes over the wire; `headers` come on top of HEADERS. Raises InvalidURL for what would end a line
    early, UnicodeError."""
    lines = _ALWAYS
    if headers:
        fields = [f"{name}: {value}" for name, value in {**HEADERS, **headers}.items()]
        if any("\r" in field or "\n" in field for field in fields):
            raise InvalidURL("a line break in a header of the request")
        lines = "".join(f"{field}{CRLF}" for field in fields)
    if _BREAKS.search(target) or _BREAKS.search(host):
        raise InvalidURL("a space or a line break in the request")
    return f"GET {target} HTTP/1.1{CRLF}Host: {host}{CRLF}{lines}{CRLF}".encode("ascii")


def readable(sock: socket.socket, timeout_s: float) -> bool:
    """Whether something comes, or the end, within so many seconds."""
    watch = select.poll()
    watch.register(sock, select.POLLIN)
    return bool(watch.poll(timeout_s * 1000))


def host_header(place: Place) -> str:
    """The port that belongs to the scheme is not repeated."""
    return place.host if place.port == PORTS[place.scheme] else f"{place.host}:{place.port}"


class Connections:
    """Asks over new or idle connections; how many there may be at a time is not decided here. The proxies of the
    environment are not used: through a proxy nobody could say which address is reached."""

    def __init__(self, limits: Limits, guard: AddressGuard, watchdog: Watchdog) -> None:
        self.limits, self.guard, self.watchdog = limits, guard, watchdog
        self._idle: OrderedDict[str, list[socket.socket]] = OrderedDict()
        self._lock = threading.Lock()
        self._prompt = True
        """Whether hosts answer about as soon as they are asked, by the last one."""
        self._tls: ssl.SSLContext | None = None

    def ask(
        self, place: Place, headers: Mapping[str, str], aside: Aside = nullcontext
    ) -> tuple[socket.socket, Response]:
        """The answer to a GET, its body unread, and its connection. This thread is inside `aside()` while it waits for
        the host for longer than PATIENCE_S. Raises FetchError (see open_socket), OSError, HTTPException."""
        connection = self._reused(place.origin)
        if connection is None:
            with aside():
                connection = self._dialled(place)
        try:
            self.watchdog.watch(connection)
            connection.sendall(request(self._target(place), host_header(place), headers))
            response = Response(connection)
            if self._prompt and readable(connection, PATIENCE_S):
                response.begin()
            else:
                begun = time.monotonic()
                with aside():
                    response.begin()
                self._prompt = time.monotonic() - begun < PATIENCE_S
            return connection, response
        except BaseException:
            connection.close()
            raise

    def give_back(self, place: Place, connection: socket.socket, answer: Response, reusable: bool) -> None:
        """`reusable`: the whole answer was read; never again is a connection used that has an unread body."""
        if not reusable or answer.will_close or not answer.isclosed():
            answer.close()
            connection.close()
            return
        dropped: list[socket.socket] = []
        with self._lock:
            idle = self._idle.setdefault(place.origin, [])
            idle.append(connection)
            self._idle.move_to_end(place.origin)
            if len(idle) > self.limits.per_host:
                dropped.append(idle.pop(0))
            if len(self._idle) > ORIGINS:
                dropped += self._idle.popitem(last=False)[1]
        for old in dropped:
            old.close()

    def clear(self) -> None:
        """Drops the idle connections."""
        with self._lock:
            dropped = [connection for idle in self._idle.values() for connection in idle]
            self._idle.clear()
        for connection in dropped:
            connection.close()

    def _reused(self, origin: str) -> socket.socket | None:
        while True:
            with self._lock:
                idle = self._idle.get(origin)
                if not idle:
                    return None
                connection = idle.pop()
            # What can be read now is no answer to a question of ours: an end of stream, most of the time.
            if not readable(connection, 0.0):
                return connection
            connection.close()

    def _dialled(self, place: Place) -> socket.socket:
        """A socket to the host of the URL, for https with TLS to the name in the URL."""
        sock = open_socket(self.guard, place.host, place.port, self.limits.connect_s)
        return self._tuned(sock, place)

    def _tuned(self, sock: socket.socket, place: Place) -> socket.socket:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(self.limits.read_s)
            if place.scheme == "https":
                name = place.host.strip("[]")
                sock = self._context().wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False)
                self.watchdog.watch(sock)
                sock.do_handshake()
            return sock
        except BaseException:
            sock.close()
            raise

    def _context(self) -> ssl.SSLContext:
        with self._lock:
            if self._tls is None:
                self._tls = ssl.create_default_context()
                self._tls.set_alpn_protocols(["http/1.1"])
            return self._tls

    def _target(self, place: Place) -> str:
        return place.target
