"""One request and its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import datetime
from http.client import HTTPException, IncompleteRead, InvalidURL
from typing import NamedTuple

from lance_assets.ingest.answer import Headers, Response
from lance_assets.ingest.body import drained, retry_after
from lance_assets.ingest.connections import Aside, Connections
from lance_assets.ingest.outcome import TRANSIENT, FetchError, now
from lance_assets.ingest.urls import Place
from lance_assets.ingest.watchdog import Watchdog

REDIRECTS = frozenset((301, 302, 303, 307, 308))

#: Reads the body of a 200; the second argument tells whether time is up.
Reader = Callable[[Response, Callable[[], bool]], bytes]


class Answer(NamedTuple):
    """What a server said: a body (200), or a redirect, or 304. `at` is when its header came (UTC), `took_s` how long
    all of it took."""

    status: int
    headers: Headers
    body: bytes
    at: datetime
    took_s: float


class Exchange:
    """Asks, on behalf of any thread, within a time budget."""

    def __init__(self, connections: Connections, watchdog: Watchdog, hold: Callable[[str, float], None]) -> None:
        """`hold(server, seconds)` is told what Retry-After asks for, before anything else happens."""
        self._connections, self._watchdog, self._hold = connections, watchdog, hold

    def get(
        self, place: Place, headers: Mapping[str, str], budget_s: float, reader: Reader, aside: Aside = nullcontext
    ) -> Answer:
        """The answer; the thread is in `aside()` while it waits for the host. Raises FetchError: what `reader` raises,
        dns, blocked_address, timeout, connection, incomplete, bad_url, http_<status> for all but 200, redirects and
        304."""
        status: int | None = None
        self._watchdog.begin(budget_s)
        try:
            connection, response = self._connections.ask(place, headers, aside)
            status, at = response.status, now()
            reusable = False
            try:
                data, problem = b"", None
                if status == 200:
                    with nullcontext() if response.arrived() else aside():
                        data = reader(response, self._watchdog.expired)
                    reusable = True
                else:
                    problem = self._problem(place, response)
                    with nullcontext() if response.arrived() else aside():
                        reusable = drained(response)
            finally:
                took_s = self._watchdog.release()
                self._connections.give_back(place, connection, response, reusable)
            if problem is not None:
                raise problem
            return Answer(status, response.headers, data, at, took_s)
        except FetchError as error:
            error.status = status
            raise
        except (HTTPException, OSError, UnicodeError) as error:
            raise _named(error, self._watchdog.expired(), status) from error
        finally:
            self._watchdog.release()

    def _problem(self, place: Place, response: Response) -> FetchError | None:
        status = response.status
        if status in REDIRECTS or status == 304:
            return None
        error = FetchError(f"http_{status}", response.reason or "", 1, retry_after(response.headers), status)
        if error.retry_after and error.reason in TRANSIENT:
            self._hold(place.server, error.retry_after)
        return error


def _named(error: Exception, expired: bool, status: int | None) -> FetchError:
    """The reason behind what http.client or the socket raised."""
    if expired or isinstance(error, TimeoutError):
        return FetchError("timeout", "the attempt took too long" if expired else str(error), status=status)
    if isinstance(error, IncompleteRead):
        return FetchError("incomplete", f"the body ended early: {len(error.partial)} bytes", status=status)
    if isinstance(error, InvalidURL | UnicodeError):
        return FetchError("bad_url", str(error), status=status)
    return FetchError("connection", f"{type(error).__name__}: {error}", status=status)
