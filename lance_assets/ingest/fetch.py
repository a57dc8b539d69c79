"""The downloader: one per process, called from many threads."""

from __future__ import annotations

import hashlib
import logging
import random
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from http.client import HTTPException, IncompleteRead, InvalidURL
from types import TracebackType
from urllib.parse import urljoin

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import (
    ConnectTimeoutError,
    EmptyPoolError,
    HTTPError,
    LocationParseError,
    LocationValueError,
    ReadTimeoutError,
)
from urllib3.util import parse_url

from lance_assets.ingest.addresses import AddressGuard
from lance_assets.ingest.backlog import Backlog
from lance_assets.ingest.body import drained, read_capped, refuse_early, retry_after
from lance_assets.ingest.connections import GuardedPools
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import Fetched, FetchError
from lance_assets.ingest.picture import inspect_image
from lance_assets.ingest.watchdog import Watchdog

log = logging.getLogger(__name__)

REDIRECTS = frozenset((301, 302, 303, 307, 308))
URL_CHARS = 8192
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 8.0
#: fetch_all runs ahead of its reader by this many URLs a thread, so that one slow host does not stall the others, and
#: by this many bytes, so that memory stays bounded.
AHEAD_PER_THREAD, AHEAD_BYTES = 64, 256_000_000

_TIMEOUTS = (TimeoutError, ReadTimeoutError, ConnectTimeoutError, EmptyPoolError)
_BAD_URLS = (LocationParseError, LocationValueError, InvalidURL, UnicodeError)


class Fetcher:
    """Downloads images from addresses that strangers wrote down, within `limits`. Thread-safe; a context manager."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        if limits.allow_hosts:
            log.warning("downloads from these hosts skip the public-address rule: %s", sorted(limits.allow_hosts))
        self._watchdog = Watchdog(limits.total_s)
        self._pools = GuardedPools(limits, AddressGuard(limits.allow_hosts), self._watchdog)
        self._closing = threading.Event()
        self._jitter = random.SystemRandom()

    def fetch(self, url: str) -> Fetched:
        """The image at a URL. Transient failures are tried again up to `limits.attempts` times: after the server's
        Retry-After, else after a wait that doubles from 0.25 s to 8 s, with jitter. Raises FetchError."""
        if self._closing.is_set():
            raise RuntimeError("this fetcher is closed")
        number = 1
        while True:
            try:
                return self._attempt(url, number)
            except FetchError as error:
                last = number >= self.limits.attempts or not error.transient
                if last or self._closing.wait(self._pause(number, error.retry_after)):
                    raise FetchError(error.reason, error.detail, number, error.retry_after) from error
            number += 1

    def fetch_all(self, urls: Sequence[str | None], threads: int = 16) -> Generator[Fetched | FetchError, None, None]:
        """One outcome per URL, in input order; never raises for a URL. Memory: about 256 MB of images that wait for
        the reader, plus what `threads` downloads hold."""
        executor = ThreadPoolExecutor(threads, thread_name_prefix="fetch")
        waiting: deque[Future[Fetched | FetchError]] = deque()
        backlog = Backlog(AHEAD_BYTES)
        try:
            for number, url in enumerate(urls):
                while waiting and (len(waiting) >= AHEAD_PER_THREAD * threads or waiting[0].done()):
                    yield _taken(waiting, backlog)
                waiting.append(executor.submit(self._outcome, url, number, backlog))
            while waiting:
                yield _taken(waiting, backlog)
        finally:
            backlog.abandon()
            executor.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Drops idle connections and ends every wait for a next attempt."""
        self._closing.set()
        self._watchdog.stop()
        self._pools.clear()

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _outcome(self, url: str | None, number: int, backlog: Backlog) -> Fetched | FetchError:
        if not backlog.admit(number):
            return FetchError("connection", "given up, since nobody reads the result", attempts=0)
        try:
            outcome = self.fetch(url or "")
        except FetchError as error:
            return error
        except Exception as error:  # a fault of ours must not take the other rows along, nor go unseen
            log.exception("download of %r failed in an unforeseen way", url)
            return FetchError("internal_error", f"{type(error).__name__}: {error}")
        backlog.add(len(outcome.data))
        return outcome

    def _attempt(self, url: str, number: int) -> Fetched:
        """One try: the request, its redirects, the checks. Every hop gets the same treatment as the first."""
        self._watchdog.begin()
        where = check_url(url)
        for _ in range(self.limits.max_redirects + 1):
            data, location = self._get(where)
            if location is None:
                kind, width, height = inspect_image(data, self.limits)
                digest = hashlib.sha256(data).hexdigest()
                return Fetched(data, digest, kind, width, height, final_url=where, status=200, attempts=number)
            where = _next_hop(where, location)
        raise FetchError("too_many_redirects", f"more than {self.limits.max_redirects}, the last to {where}")

    def _get(self, url: str) -> tuple[bytes, str | None]:
        """(body, None), or (b"", location) of a redirect."""
        response: BaseHTTPResponse | None = None
        reusable = False
        try:
            response = self._pools.urlopen(
                "GET", url, redirect=False, preload_content=False, pool_timeout=self.limits.total_s
            )
            if response.status != 200:
                reusable = drained(response)
                if response.status in REDIRECTS:
                    return b"", response.headers.get("Location", "")
                raise FetchError(f"http_{response.status}", response.reason or "", 1, retry_after(response.headers))
            refuse_early(response, self.limits.max_bytes)
            data = read_capped(response, self.limits.max_bytes, self._watchdog.expired)
            reusable = True
            return data, None
        except (HTTPError, HTTPException, OSError, UnicodeError) as error:
            raise _named(error, self._watchdog.expired()) from error
        finally:
            self._watchdog.release()
            if response is not None:
                if not reusable:
                    response.close()  # never again use a connection with an unread body ...
                response.release_conn()  # ... but always give its slot back: close() alone leaks it, then all hang

    def _pause(self, number: int, asked: float | None) -> float:
        if asked is not None:
            return asked
        return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (number - 1)) * self._jitter.uniform(0.5, 1.0)


def _taken(waiting: deque[Future[Fetched | FetchError]], backlog: Backlog) -> Fetched | FetchError:
    outcome = waiting.popleft().result()
    backlog.take(len(outcome.data) if isinstance(outcome, Fetched) else 0)
    return outcome


def check_url(url: str) -> str:
    """The URL, stripped, if it may be asked for at all. Raises FetchError bad_url: no http or https, no host, a user
    name or password inside, overlong, unparsable."""
    url = url.strip()
    if not url:
        raise FetchError("bad_url", "there is no URL")
    if len(url) > URL_CHARS:
        raise FetchError("bad_url", f"{len(url)} characters are more than {URL_CHARS}")
    try:
        parts = parse_url(url)
    except (LocationParseError, UnicodeError) as error:
        raise FetchError("bad_url", f"{url[:100]!r} cannot be parsed: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise FetchError("bad_url", f"{url[:100]!r} is not an http or https URL")
    if not parts.host:
        raise FetchError("bad_url", f"{url[:100]!r} names no host")
    if parts.auth is not None:
        raise FetchError("bad_url", f"a URL of {parts.host} carries a user name or password")
    return url


def _next_hop(where: str, location: str) -> str:
    if not location:
        raise FetchError("bad_redirect", "a redirect without a Location")
    try:
        return check_url(urljoin(where, location))
    except FetchError as error:
        raise FetchError("bad_redirect", error.detail) from error
    except ValueError as error:
        raise FetchError("bad_redirect", f"{location[:100]!r} cannot be parsed: {error}") from error


def _named(error: Exception, expired: bool) -> FetchError:
    """The reason behind what urllib3 raised; it wraps the original as an argument."""
    chain = (error, *error.args)
    if expired or any(isinstance(link, _TIMEOUTS) for link in chain):
        return FetchError("timeout", "the attempt took too long" if expired else str(error))
    if any(isinstance(link, IncompleteRead) for link in chain):
        return FetchError("incomplete", str(error))
    if isinstance(error, _BAD_URLS):
        return FetchError("bad_url", str(error))
    return FetchError("connection", f"{type(error).__name__}: {error}")
