"""Outcomes land once, and when a reader leaves nothing goes on behind its back."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lance_assets.ingest.download import END_S
from lance_assets.ingest.fetch import Fetcher
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import FetchError, Outcome
from lance_assets.ingest.watchdog import Watchdog
from lance_assets_tests.fault_server import FaultServer, until


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def limits_for(server: FaultServer, **changes: Any) -> Limits:
    values = {"read_s": 2.0, "total_s": 3.0, "attempts": 2, "allow_hosts": frozenset({server.host})}
    return Limits(**{**values, **changes})


@pytest.mark.parametrize("kind", ["trunc", "big", "gzip", "html", "404", "declaredbig", "loop", "cut"])
def test_bad_answers_do_not_leak_slots(server: FaultServer, kind: str) -> None:
    with Fetcher(limits_for(server, per_host=2, attempts=1, max_bytes=1_000_000)) as fetcher:
        started = time.monotonic()
        for number in range(3):
            with pytest.raises(FetchError):
                fetcher.fetch(server.url(kind, f"leak-{number}"))
        assert fetcher.fetch(server.url("ok")).status == 200
        assert time.monotonic() - started < 30


def test_every_outcome_lands_once_before_it_is_read(server: FaultServer) -> None:
    landed: dict[int, Outcome] = {}
    urls = [server.url("color", number) if number % 5 else None for number in range(100)]
    with Fetcher(limits_for(server)) as fetcher:
        for index, outcome in enumerate(fetcher.fetch_all(urls, landed=landed.__setitem__)):
            assert landed[index] is outcome
    assert len(landed) == 100


def test_what_landing_raises_reaches_the_reader(server: FaultServer) -> None:
    def full(index: int, outcome: Outcome) -> None:
        raise OSError(28, "No space left on device")

    with Fetcher(limits_for(server)) as fetcher, pytest.raises(OSError, match="No space"):
        list(fetcher.fetch_all([server.url("ok")], landed=full))
    assert not threads()


def test_workers_that_are_stuck_hold_up_nobody(server: FaultServer) -> None:
    landed: list[int] = []
    go_on = threading.Event()

    def land(index: int, outcome: Outcome) -> None:
        if index % 5 == 1:
            assert go_on.wait(60)
        landed.append(index)

    with Fetcher(limits_for(server)) as fetcher:
        outcomes = fetcher.fetch_all([server.url("color", number) for number in range(20)], threads=5, landed=land)
        next(outcomes)
        until(lambda: len(landed) == 16)
        go_on.set()
        assert len(list(outcomes)) == 19
    assert sorted(landed) == list(range(20))


def test_a_slow_host_is_asked_by_all_threads_at_a_time(server: FaultServer) -> None:
    with Fetcher(limits_for(server, per_host=6)) as fetcher:
        assert len(list(fetcher.fetch_all([server.url("slow", number) for number in range(60)], threads=6))) == 60
    assert server.log.most_active == 6


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("fetch-")]


@pytest.mark.parametrize("kind", ["hang", "drip", "dripheader", "503", "chunkedendless"])
def test_no_thread_and_no_landing_is_left_when_the_reader_leaves(server: FaultServer, kind: str) -> None:
    landed: list[int] = []
    with Fetcher(limits_for(server, total_s=30, read_s=30, max_bytes=10**9)) as fetcher:
        urls = [server.url("ok"), *(server.url(kind, number) for number in range(30))]
        outcomes = fetcher.fetch_all(urls, landed=lambda index, _: landed.append(index))
        next(outcomes)
        until(lambda: len(server.images) > 5)
        begun = time.monotonic()
        outcomes.close()
        assert time.monotonic() - begun < END_S, "a thread was given up"
        assert threads() == ["fetch-watchdog"]
        count = len(landed)
        assert fetcher.fetch(server.url("ok")).status == 200
        assert len(landed) == count
    assert not threads()


def test_closing_the_fetcher_ends_its_readers(server: FaultServer) -> None:
    fetcher = Fetcher(limits_for(server, total_s=30, read_s=30))
    closer = threading.Thread(target=lambda: (until(lambda: bool(server.images)), fetcher.close()))
    closer.start()
    with pytest.raises(RuntimeError, match="closed"):
        list(fetcher.fetch_all([server.url("hang")]))
    closer.join()
    assert not threads()
    with pytest.raises(RuntimeError, match="closed"):
        fetcher.fetch(server.url("ok"))


def test_closing_a_fetcher_while_a_reader_starts_leaves_no_thread(server: FaultServer) -> None:
    for _ in range(20):
        fetcher = Fetcher(limits_for(server, total_s=30, read_s=30))
        ended: list[str] = []

        def read(fetcher: Fetcher = fetcher, ended: list[str] = ended) -> None:
            try:
                list(fetcher.fetch_all([server.url("hang", number) for number in range(4)]))
            except RuntimeError as error:
                ended.append(str(error))

        reader = threading.Thread(target=read)
        reader.start()
        fetcher.close()
        assert not threads()
        reader.join()
        assert ended == ["this fetcher is closed"]


def test_a_watchdog_can_be_stopped_at_any_time_by_any_thread() -> None:
    Watchdog(1.0).stop()
    stopped = threading.Event()

    def stop() -> None:
        watchdog.stop()
        stopped.set()

    watchdog = Watchdog(1.0, tick_s=0.01, tick=stop)
    watchdog.start()
    assert stopped.wait(10), "it waited for itself"
    watchdog.stop()
    watchdog.stop()
    assert not threads()
