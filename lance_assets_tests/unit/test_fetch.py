"""The fault table: every way in which a web server can fail ends in its own reason, and harms no other row."""

from __future__ import annotations

import copy
import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lance_assets.errors import BadInput
from lance_assets.ingest import fetch
from lance_assets.ingest.fetch import Fetcher
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import REASONS, Fetched, FetchError
from lance_assets_tests.fault_server import FaultServer, bomb, jpeg, zeros_gzip

ATTEMPTS = 3

#: fault, reason (None = fetched), attempts
TABLE = [
    ("ok", None, 1),
    ("404", "http_404", 1),
    ("503once", None, 2),
    ("429", None, 2),
    ("429date", None, 2),
    ("503", "http_503", ATTEMPTS),
    ("hang", "timeout", ATTEMPTS),
    ("drip", "timeout", ATTEMPTS),
    ("dripheader", "timeout", ATTEMPTS),
    ("trunc", "incomplete", ATTEMPTS),
    ("cut", "corrupt_image", 1),
    ("ctype", None, 1),
    ("html", "not_an_image", 1),
    ("big", "too_large", 1),
    ("declaredbig", "too_large", 1),
    ("redir", "blocked_address", 1),
    ("redirfile", "bad_redirect", 1),
    ("redirnowhere", "bad_redirect", 1),
    ("redirok", None, 1),
    ("loop", "too_many_redirects", 1),
    ("bomb", "too_many_pixels", 1),
    ("gzip", "encoded_body", 1),
    ("reset", "connection", ATTEMPTS),
    ("icon", "too_small", 1),
]


def short_limits(server: FaultServer, **changes: Any) -> Limits:
    values: dict[str, Any] = {
        "read_s": 1.0,
        "total_s": 2.0,
        "attempts": ATTEMPTS,
        "allow_hosts": frozenset({server.host}),
    }
    return Limits(**{**values, **changes})


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    for build in (bomb, zeros_gzip):  # before the clock of any request runs
        build()
    with FaultServer() as server:
        yield server


@pytest.fixture(scope="module")
def outcomes(server: FaultServer) -> dict[str, Fetched | FetchError]:
    """All faults at once, a good row before and after each."""
    kinds = [kind for kind, _, _ in TABLE]
    urls = [url for kind in kinds for url in (server.url("color", kinds.index(kind)), server.url(kind))]
    with Fetcher(short_limits(server, per_host=32)) as fetcher:
        found = list(fetcher.fetch_all(urls, threads=24))
    for index, kind in enumerate(kinds):
        good = found[2 * index]
        assert isinstance(good, Fetched), f"the good row before {kind} ended as {good}"
        assert good.data == jpeg(96, index)
    return dict(zip(kinds, found[1::2], strict=True))


@pytest.mark.parametrize(("kind", "reason", "attempts"), TABLE)
def test_each_fault_ends_as_the_table_says(
    outcomes: dict[str, Fetched | FetchError], kind: str, reason: str | None, attempts: int
) -> None:
    outcome = outcomes[kind]
    assert outcome.attempts == attempts
    if reason is None:
        assert isinstance(outcome, Fetched), outcome
        assert outcome.data == jpeg()
        assert outcome.sha256 == hashlib.sha256(jpeg()).hexdigest()
        assert (outcome.format, outcome.width, outcome.height, outcome.status) == ("JPEG", 96, 96, 200)
    else:
        assert isinstance(outcome, FetchError)
        assert outcome.reason == reason, outcome
        assert outcome.transient == (attempts > 1)
        assert outcome.reason.startswith("http_") or outcome.reason in REASONS


def test_the_final_url_is_where_the_redirect_led(
    server: FaultServer, outcomes: dict[str, Fetched | FetchError]
) -> None:
    outcome = outcomes["redirok"]
    assert isinstance(outcome, Fetched)
    assert outcome.final_url == server.url("ok", "after-redirect")


def test_retry_after_is_waited_for(server: FaultServer) -> None:
    with Fetcher(short_limits(server)) as fetcher:
        for kind, least in (("429", 1.0), ("429date", 0.5)):
            started = time.monotonic()
            assert fetcher.fetch(server.url(kind, "waited-for")).attempts == 2
            assert least <= time.monotonic() - started < 5


@pytest.mark.parametrize("kind", ["trunc", "big", "gzip", "html", "404", "declaredbig", "loop", "cut"])
def test_bad_answers_do_not_leak_pool_slots(server: FaultServer, kind: str) -> None:
    with Fetcher(short_limits(server, per_host=2, attempts=1, max_bytes=1_000_000)) as fetcher:
        started = time.monotonic()
        for number in range(3):
            with pytest.raises(FetchError):
                fetcher.fetch(server.url(kind, f"leak-{number}"))
        assert fetcher.fetch(server.url("ok")).width == 96
        assert time.monotonic() - started < 5


def test_outcomes_come_in_input_order_with_missing_urls_in_place(server: FaultServer) -> None:
    urls = [server.url("color", number) if number % 7 else None for number in range(200)]
    with Fetcher(short_limits(server)) as fetcher:
        found = list(fetcher.fetch_all(urls, threads=8))
    assert len(found) == 200
    for number, outcome in enumerate(found):
        if number % 7:
            assert isinstance(outcome, Fetched) and outcome.data == jpeg(96, number)
        else:
            assert isinstance(outcome, FetchError) and outcome.reason == "bad_url"


@pytest.mark.parametrize(("ahead_bytes", "most"), [(10**9, 2 * fetch.AHEAD_PER_THREAD + 1), (20 * len(jpeg()), 40)])
def test_one_slow_host_lets_the_others_run_ahead_only_so_far(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, ahead_bytes: int, most: int
) -> None:
    monkeypatch.setattr(fetch, "AHEAD_BYTES", ahead_bytes)
    before = len(server.requests)
    with Fetcher(short_limits(server, attempts=1)) as fetcher:
        urls = [server.url("hang")] + [server.url("color", number) for number in range(1000)]
        outcomes = fetcher.fetch_all(urls, threads=2)
        first = next(outcomes)
        outcomes.close()  # a reader that stops early stops the downloads
    assert isinstance(first, FetchError) and first.reason == "timeout"
    assert 10 < len(server.requests) - before <= most


def test_sixty_images_of_one_host_take_no_more_connections_than_allowed() -> None:
    with FaultServer() as server, Fetcher(short_limits(server, per_host=3)) as fetcher:
        outcomes = list(fetcher.fetch_all([server.url("color", number) for number in range(60)], threads=12))
        assert all(isinstance(outcome, Fetched) for outcome in outcomes)
        assert 1 <= server.connections <= 3


def test_hostile_bodies_leave_memory_flat(server: FaultServer) -> None:
    code = f"""
import resource
from lance_assets.ingest import fetch
from lance_assets.ingest.fetch import Fetcher
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import FetchError
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with Fetcher(Limits(allow_hosts=frozenset({{{server.host!r}}}))) as fetcher:
    fetcher.fetch({server.url("ok")!r})
    before = peak()
    for url in {[server.url(kind) for kind in ("bomb", "big", "gzip")]!r}:
        try:
            fetcher.fetch(url)
        except FetchError as error:
            print(error.reason)
    print(peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    *reasons, grown = done.stdout.split()
    assert reasons == ["too_many_pixels", "too_large", "encoded_body"]
    assert int(grown) < 50_000, f"memory grew by {grown} kB"


def test_proxies_of_the_environment_are_not_used(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with Fetcher(short_limits(server)) as fetcher:
        assert fetcher.fetch(server.url("ok")).width == 96


def test_a_fetch_error_survives_pickling() -> None:
    # copying takes the road of pickle
    error = copy.copy(FetchError("http_503", "busy", attempts=4, retry_after=2.0))
    assert (error.reason, error.detail, error.attempts, error.retry_after) == ("http_503", "busy", 4, 2.0)
    assert error.transient


def test_an_unknown_reason_cannot_be_raised() -> None:
    with pytest.raises(ValueError, match="closed list"):
        FetchError("went_wrong")


@pytest.mark.parametrize(
    "values",
    [{"max_bytes": 0}, {"read_s": -1.0}, {"formats": ("FITS",)}, {"allow_hosts": frozenset({"*.example.org"})}],
)
def test_limits_that_cannot_work_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        Limits(**values)
