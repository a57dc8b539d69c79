"""robots.txt (RFC 9309): what the owner of a host lets robots ask for."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from protego import Protego

from lance_assets.ingest.locks import NamedLocks, shared_locks
from lance_assets.ingest.optout import AGENT
from lance_assets.ingest.outcome import FetchError

#: RFC 9309 wants at least 500 KiB to be parsed; the number of lines bounds what a hostile file costs.
MOST_BYTES, MOST_LINES = 512_000, 10_000
LONGEST_DELAY_S = 30.0
#: Seconds for which an answer counts, and for which a failure counts.
KEPT_S, FAILED_S = 86_400.0, 60.0
#: Origins whose rules are kept parsed.
PARSED = 512

_AGENT = re.compile(r"\s*user[ -]?agent\s*:?\s*([^#]*)", re.IGNORECASE)
_OF_NO_GROUP = re.compile(r"\s*(sitemaps?|site-map|host)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Verdict:
    """What one origin says, for so long: rules (empty = all is allowed), or the `failure` of finding out."""

    until: float
    rules: str = ""
    failure: FetchError | None = None

    @cached_property
    def _parsed(self) -> Protego | None:
        return Protego.parse(self.rules) if self.rules else None

    @cached_property
    def delay_s(self) -> float:
        """Crawl-delay, at most 30 s."""
        return min((self._parsed and self._parsed.crawl_delay(AGENT)) or 0.0, LONGEST_DELAY_S)

    def check(self, target: str) -> None:
        """`target`: path and query as they would go over the wire. Raises FetchError robots_disallowed, or the
        failure."""
        if self.failure is not None:
            why = self.failure
            raise FetchError(why.reason, why.detail, why.attempts, why.retry_after, why.status)
        if self._parsed is not None and not self._parsed.can_fetch(f"http://host{target}", AGENT):
            raise FetchError("robots_disallowed", "robots.txt of the host asks robots to stay away from this URL")


def rules_for_us(body: bytes) -> str:
    """The groups of a robots.txt that address us or all robots. The others would only cost memory: each of 10,000
    agents in a row would get its own copy of all rules."""
    kept: list[str] = []
    ours, naming = False, False
    for line in body[:MOST_BYTES].decode("utf-8", "replace").lstrip("\ufeff").splitlines()[:MOST_LINES]:
        if named := _AGENT.match(line):
            agent = named[1].strip().lower()
            bare = agent.replace("*", "")
            mine = agent == "*" or (bare != "" and AGENT.startswith(bare))
            ours = mine or (ours and naming)
            naming = True
            if mine:
                kept.append(f"User-agent: {bare or '*'}")
        elif line.partition("#")[0].strip() and not _OF_NO_GROUP.match(line):
            naming = False
            if ours:
                kept.append(line)
    return "\n".join(kept)


def failed(error: FetchError, at_home: bool) -> Verdict:
    """What a failure to get robots.txt means. `at_home`: it was the origin itself, and not where it redirects to."""
    if at_home and error.reason in ("dns", "blocked_address", "bad_url"):
        failure = error
    else:
        failure = FetchError(
            "robots_unavailable", f"robots.txt: {error}", error.attempts, error.retry_after, error.status
        )
    return Verdict(time.time() + FAILED_S, failure=failure)


class Robots:
    """The verdicts of all origins that were asked, shared with the processes of this machine that share a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._verdicts: OrderedDict[str, Verdict] = OrderedDict()
        self._claims = NamedLocks() if folder is None else shared_locks(folder / "robots.lock")
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._store = sqlite3.connect(
            ":memory:" if folder is None else folder / "robots.sqlite",
            timeout=30,
            isolation_level=None,
            check_same_thread=False,
        )
        # switching to a write-ahead log fails at once where another process does it, without waiting for the timeout
        with self._claims.held("robots.sqlite"):
            self._prepare()

    def _prepare(self) -> None:
        self._store.execute("pragma journal_mode = wal")
        self._store.execute("pragma synchronous = off")
        self._store.execute(
            "create table if not exists verdicts (origin text primary key, until real, rules text, failure text)"
        )
        self._store.execute("delete from verdicts where until < ?", (time.time(),))

    def known(self, origin: str) -> Verdict | None:
        """What is known about an origin and still counts."""
        found = self._verdicts.get(origin)
        if found is None or found.until <= time.time():
            with self._lock:
                found = self._load(origin)
        return found if found is not None and found.until > time.time() else None

    def keep(self, origin: str, verdict: Verdict) -> None:
        """A failure of the name or the address is kept by this process alone: another may have other allowed hosts."""
        failure = verdict.failure
        with self._lock:
            self._remember(origin, verdict)
            if failure is None or failure.reason == "robots_unavailable":
                self._store.execute(
                    "insert or replace into verdicts values (?, ?, ?, ?)",
                    (origin, verdict.until, verdict.rules, failure.detail if failure else None),
                )

    def claim(self, origin: str) -> bool:
        """Whether it is ours to ask this origin now; nobody else does until `unclaim`, or until this process ends."""
        return self._claims.take(origin)

    def unclaim(self, origin: str) -> None:
        self._claims.give(origin)

    def close(self) -> None:
        with self._lock:
            self._store.close()

    def _load(self, origin: str) -> Verdict | None:
        row = self._store.execute("select until, rules, failure from verdicts where origin = ?", (origin,)).fetchone()
        if row is None:
            return None
        until, rules, failure = row
        verdict = Verdict(until, rules, FetchError("robots_unavailable", failure) if failure is not None else None)
        self._remember(origin, verdict)
        return verdict

    def _remember(self, origin: str, verdict: Verdict) -> None:
        self._verdicts[origin] = verdict
        while len(self._verdicts) > PARSED:
            self._verdicts.popitem(last=False)
