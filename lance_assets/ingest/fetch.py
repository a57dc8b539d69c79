"""The downloader: one per process, called from many threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from lance_assets.ingest.addresses import AddressGuard
from lance_assets.ingest.backlog import Backlog
from lance_assets.ingest.body import validator
from lance_assets.ingest.connections import Connections
from lance_assets.ingest.download import Download
from lance_assets.ingest.exchange import Exchange
from lance_assets.ingest.gate import HostGate, shared_gate
from lance_assets.ingest.hops import Hops
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import Fetched, FetchError, Outcome, Unmodified
from lance_assets.ingest.proxies import ProxiedConnections
from lance_assets.ingest.robots import Robots
from lance_assets.ingest.task import Task
from lance_assets.ingest.watchdog import Watchdog

log = logging.getLogger(__name__)

#: fetch_all runs ahead of its reader by this many URLs a thread, so that one slow host does not stall the others, and
#: by this many bytes, so that memory stays bounded.
AHEAD_PER_THREAD, AHEAD_BYTES = 64, 256_000_000


@dataclass(frozen=True)
class Request:
    """One image to ask for; conditional when `etag` or `last_modified` of an earlier answer is there."""

    url: str
    etag: str | None = None
    last_modified: str | None = None


class Fetcher:
    """Downloads images from addresses that strangers wrote down, within `limits`. Thread-safe; a context manager."""

    def __init__(self, limits: Limits, shared: Path | None = None) -> None:
        """`shared`: a folder on this machine where several processes agree on what hosts are asked (limits per host,
        Retry-After, robots.txt); None = this fetcher alone."""
        self.limits = limits
        if limits.allow_hosts:
            log.warning("downloads from these hosts skip the public-address rule: %s", sorted(limits.allow_hosts))
        if limits.proxies:
            log.warning("the proxies of the environment are used: they resolve names, so no address can be checked")
        shared = shared and shared.absolute()
        gate = shared_gate(shared / "hosts") if shared else HostGate()
        watchdog = Watchdog(limits.total_s, tick=gate.release_idle)
        kind = ProxiedConnections if limits.proxies else Connections
        self._connections = kind(limits, AddressGuard(limits.allow_hosts), watchdog)
        self._hops = Hops(limits, gate, Robots(shared), Exchange(self._connections, watchdog, gate.hold), watchdog)
        self._lock = threading.Lock()
        self._running: set[Download] = set()
        self._closed = False
        watchdog.start()

    def fetch(self, request: str | Request) -> Fetched | Unmodified:
        """The image at a URL, or Unmodified for a 304 to a conditional request. Transient failures are tried again up
        to `limits.attempts` times: after the server's Retry-After (a longer one than 60 s ends the row), else after a
        wait that doubles from 0.25 s to 8 s, with jitter. Raises FetchError."""
        [outcome] = self.fetch_all([request], threads=1)
        if isinstance(outcome, FetchError):
            raise outcome
        return outcome

    def fetch_all(
        self,
        requests: Sequence[Request | str | None],
        threads: int = 16,
        landed: Callable[[int, Outcome], None] | None = None,
    ) -> Generator[Outcome, None, None]:
        """One outcome per request, in input order; never raises for a URL. Memory: about 256 MB of images that wait
        for the reader, plus what `threads` downloads hold.

        `landed(index, outcome)` is called in a worker thread as soon as an outcome is final; what it raises is raised
        here. When the reader leaves early the requests under way are cut off.
        """
        tasks = (_task(number, request) for number, request in enumerate(requests))
        window, backlog = AHEAD_PER_THREAD * threads, Backlog(AHEAD_BYTES)
        download = Download(self._hops, tasks, len(requests), window, backlog, landed or (lambda index, outcome: None))
        with self._lock:
            if self._closed:
                raise RuntimeError("this fetcher is closed")
            self._running.add(download)
        try:
            yield from download.outcomes(threads)
        finally:
            with self._lock:
                self._running.discard(download)

    def close(self) -> None:
        """Ends every download and waits for its threads; whoever still reads outcomes gets a RuntimeError."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for download in running:
            download.stop()
        self._hops.watchdog.stop()
        self._hops.gate.release_idle(0)
        self._hops.robots.close()
        self._connections.clear()

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _task(number: int, request: Request | str | None) -> Task:
    if not isinstance(request, Request):
        return Task(number, request or "")
    headers = {
        name: value
        for name, value in (
            ("If-None-Match", validator(request.etag)),
            ("If-Modified-Since", validator(request.last_modified)),
        )
        if value is not None
    }
    return Task(number, request.url, headers)
