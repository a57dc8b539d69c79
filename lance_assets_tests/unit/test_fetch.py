"""The fault table: every way in which a web server can fail ends in its own reason, and harms no other row."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lance_assets.ingest import fetch
from lance_assets.ingest.fetch import Fetcher
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import REASONS, Fetched, FetchError, Outcome
from lance_assets_tests.fault_files import bomb, frames, gif_script, huge_exif, jpeg, zeros_gzip
from lance_assets_tests.fault_server import FaultServer

ATTEMPTS = 3

#: fault (see fault_answers.py; with a slash: the whole path), reason (None = fetched), attempts
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
    ("short", "corrupt_image", 1),
    ("chunked", None, 1),
    ("chunkedcut", "incomplete", ATTEMPTS),
    ("chunkedendless", "too_large", 1),
    ("longheader", "connection", ATTEMPTS),
    ("manyheaders", "connection", ATTEMPTS),
    ("http09", "connection", ATTEMPTS),
    ("204", "http_204", 1),
    ("206", "http_206", 1),
    ("300", "http_300", 1),
    ("304", "http_304", 1),
    ("410", "http_410", 1),
    ("451", "http_451", 1),
    ("501", "http_501", 1),
    ("redircredentials", "bad_redirect", 1),
    ("redirother", "too_many_redirects", 1),
    ("svg", "not_an_image", 1),
    ("wrongcrc", "corrupt_image", 1),
    ("cutexif", "corrupt_image", 1),
    ("zipped", "polyglot", 1),
    ("htmljpeg", "polyglot", 1),
    ("gifscript", "polyglot", 1),
    ("tag/noai", "opted_out", 1),
    ("tag/noindex", "opted_out", 1),
    ("tag/otherbot: noai", None, 1),
    ("ok/%0d%0aInjected:%20yes", None, 1),
]

#: URLs that are refused before any request.
NEVER_ASKED = [
    "http://{host}/ok/1\r\nInjected: yes",
    "http://{host}/ok/1\nInjected: yes",
    "http://{host}\r\nInjected: yes/ok/1",
    "http://user:secret@{host}/ok/1",
    "file:///etc/passwd",
    "gopher://{host}/ok/1",
    "http://{host}:port/ok/1",
]

#: Whole files of a kind that is stored as it is: the first frame is checked.
KEPT = [("gifframes", frames("GIF"), "GIF"), ("tiffpages", frames("TIFF"), "TIFF"), ("hugeexif", huge_exif(), "JPEG")]


def short_limits(server: FaultServer, **changes: Any) -> Limits:
    values: dict[str, Any] = {
        **{"read_s": 3.0, "total_s": 4.0, "attempts": ATTEMPTS, "max_bytes": 4_000_000},
        "allow_hosts": frozenset({server.host, server.log.neighbour} - {""}),
    }
    return Limits(**{**values, **changes})


def address(server: FaultServer, kind: str) -> str:
    return f"http://{server.host}/{kind}" if "/" in kind else server.url(kind)


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    for build in (bomb, zeros_gzip, gif_script):  # before the clock of any request runs
        build()
    with FaultServer() as server, FaultServer() as neighbour:
        server.log.neighbour, neighbour.log.neighbour = neighbour.host, server.host
        yield server


def size_of(found: Outcome) -> tuple[int, int]:
    assert isinstance(found, Fetched), found
    return found.width, found.height


@pytest.fixture(scope="module")
def outcomes(server: FaultServer) -> dict[str, Outcome]:
    """All faults at once, a good row before and after each."""
    kinds = [kind for kind, _, _ in TABLE]
    urls = [url for kind in kinds for url in (server.url("color", kinds.index(kind)), address(server, kind))]
    with Fetcher(short_limits(server, per_host=32)) as fetcher:
        found = list(fetcher.fetch_all(urls, threads=24))
    for index, kind in enumerate(kinds):
        good = found[2 * index]
        assert isinstance(good, Fetched), f"the good row before {kind} ended as {good}"
        assert good.data == jpeg(96, index)
    return dict(zip(kinds, found[1::2], strict=True))


@pytest.mark.parametrize(("kind", "reason", "attempts"), TABLE)
def test_each_fault_ends_as_the_table_says(
    outcomes: dict[str, Outcome], kind: str, reason: str | None, attempts: int
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
        if reason.startswith("http_"):
            assert outcome.status == int(reason.removeprefix("http_"))


@pytest.mark.parametrize("url", NEVER_ASKED)
def test_urls_that_would_cheat_are_refused_without_a_request(server: FaultServer, url: str) -> None:
    before = len(server.requests)
    with Fetcher(short_limits(server)) as fetcher, pytest.raises(FetchError) as caught:
        fetcher.fetch(url.format(host=server.host))
    assert caught.value.reason == "bad_url" and "secret" not in str(caught.value)
    assert len(server.requests) == before


def test_no_url_put_a_header_into_a_request(outcomes: dict[str, Outcome], server: FaultServer) -> None:
    assert len(outcomes) == len(TABLE)
    assert not any("Injected" in headers for headers in server.log.headers)


@pytest.mark.filterwarnings("ignore:Truncated File Read")
@pytest.mark.parametrize(("kind", "data", "form"), KEPT)
def test_files_with_more_than_an_image_needs_are_kept_as_they_are(
    server: FaultServer, kind: str, data: bytes, form: str
) -> None:
    with Fetcher(short_limits(server)) as fetcher:
        found = fetcher.fetch(server.url(kind))
    assert isinstance(found, Fetched)
    assert (found.data, found.format, found.width, found.orientation) == (data, form, 96, None)


def test_bytes_behind_the_declared_end_do_not_reach_the_next_answer(server: FaultServer) -> None:
    with Fetcher(short_limits(server, per_host=1)) as fetcher:
        for number in range(3):
            with pytest.raises(FetchError, match="corrupt_image"):
                fetcher.fetch(server.url("short", number))
            found = fetcher.fetch(server.url("color", number))
            assert isinstance(found, Fetched) and found.data == jpeg(96, number)


def test_the_final_url_is_where_the_redirect_led(server: FaultServer, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes["redirok"]
    assert isinstance(outcome, Fetched)
    assert outcome.final_url == server.url("ok", "after-redirect")


def test_retry_after_is_waited_for(server: FaultServer) -> None:
    with Fetcher(short_limits(server)) as fetcher:
        for kind, least in (("429", 1.0), ("429date", 0.5)):
            started = time.monotonic()
            assert fetcher.fetch(server.url(kind, "waited-for")).attempts == 2
            assert least <= time.monotonic() - started < 30


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
