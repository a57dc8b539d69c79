"""The limits per host hold for all threads and all processes, on the server's own log; nobody else waits for a host."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from lance_assets.ingest.fetch import Fetcher
from lance_assets.ingest.gate import HostGate
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import Fetched, FetchError, Outcome
from lance_assets_tests.fault_server import FaultServer, until

#: Fetches the URLs of its standard input and prints how many came.
PROCESS = """
import sys
from pathlib import Path
from lance_assets.ingest.fetch import Fetcher
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import Fetched
host, shared, per_host, delay_s = sys.argv[1:]
patience = {"read_s": 60, "total_s": 90}
limits = Limits(allow_hosts=frozenset({host}), per_host=int(per_host), host_delay_s=float(delay_s), **patience)
urls = sys.stdin.read().split()
with Fetcher(limits, Path(shared)) as fetcher:
    print("ready", flush=True)
    print(sum(isinstance(outcome, Fetched) for outcome in fetcher.fetch_all(urls, threads=8)))
"""


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def limits_for(*servers: FaultServer, **changes: Any) -> Limits:
    hosts = frozenset(server.host for server in servers)
    return Limits(**{"read_s": 2.0, "total_s": 3.0, "attempts": 2, "allow_hosts": hosts, **changes})


def started(server: FaultServer, shared: Path, urls: list[str], per_host: int, delay_s: float = 0) -> subprocess.Popen:
    arguments = [sys.executable, "-c", PROCESS, server.host, str(shared), str(per_host), str(delay_s)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write("\n".join(urls))
    process.stdin.close()
    process.stdin = None  # or communicate() would flush it
    return process


def fetched_by(process: subprocess.Popen) -> int:
    try:
        *_, last = process.communicate(timeout=120)[0].split()
    finally:
        process.kill()
    assert process.returncode == 0
    return int(last)


def all_fetched(outcomes: list[Outcome]) -> bool:
    return all(isinstance(outcome, Fetched) for outcome in outcomes)


def image_times(server: FaultServer) -> list[float]:
    return [when for path, when in server.log.times if path != "/robots.txt"]


def test_one_process_never_asks_a_host_more_often_at_a_time_than_allowed(server: FaultServer) -> None:
    urls = [server.url("slow", number) for number in range(60)]
    with Fetcher(limits_for(server, per_host=3)) as fetcher:
        assert all_fetched(list(fetcher.fetch_all(urls, threads=16)))
    assert server.log.most_active == 3


def test_sixty_images_of_one_host_take_no_more_connections_than_allowed() -> None:
    with FaultServer() as server, Fetcher(limits_for(server, per_host=3)) as fetcher:
        outcomes = list(fetcher.fetch_all([server.url("color", number) for number in range(60)], threads=12))
        assert all(isinstance(outcome, Fetched) for outcome in outcomes)
        assert 1 <= server.connections <= 3


def test_three_processes_together_never_ask_a_host_more_often_than_allowed(server: FaultServer, tmp_path: Path) -> None:
    processes = [
        started(server, tmp_path, [server.url("slow", f"{each}-{number}") for number in range(40)], per_host=3)
        for each in range(3)
    ]
    assert [fetched_by(process) for process in processes] == [40, 40, 40]
    assert server.log.most_active == 3
    assert [path for path, _ in server.requests].count("/robots.txt") == 1


def test_no_process_asks_inside_retry_after_and_all_go_on_when_it_ends(server: FaultServer, tmp_path: Path) -> None:
    seconds = 2
    processes = []
    for each in range(3):
        urls = [server.url("slow", f"{each}-{number}") for number in range(30)]
        urls[8] = server.url("wait", f"{seconds}/{each}")
        processes.append(started(server, tmp_path, urls, per_host=1))
    assert [fetched_by(process) for process in processes] == [30, 30, 30]
    times = sorted(image_times(server))
    assert len(times) == 3 * 30 + 3
    refusals = first_of_each(server)
    pauses = {before: after - before for before, after in pairwise(times)}
    stalled = max(pause for before, pause in pauses.items() if before not in refusals)  # a busy machine
    for refused in refusals:
        assert seconds - 0.01 <= pauses[refused] < seconds + 5 + stalled


def first_of_each(server: FaultServer) -> list[float]:
    """When each URL that is refused once was refused."""
    seen: dict[str, float] = {}
    for path, when in server.log.times:
        if path.startswith("/wait/"):
            seen.setdefault(path, when)
    return list(seen.values())


def test_a_killed_process_leaves_its_slots_to_the_others(server: FaultServer, tmp_path: Path) -> None:
    victim = started(server, tmp_path, [server.url("hang")], per_host=1)
    until(lambda: ("/hang/0", server.host) in server.requests)
    with Fetcher(limits_for(server, per_host=1, total_s=20, read_s=20), tmp_path) as fetcher:
        found: list[Outcome] = []
        reader = threading.Thread(target=lambda: found.extend(fetcher.fetch_all([server.url("ok")])))
        reader.start()
        reader.join(0.5)
        assert reader.is_alive(), "two requests at a time"
        victim.kill()
        victim.wait()
        reader.join(60)
    assert all_fetched(found) and len(found) == 1


def test_a_process_that_has_nothing_to_ask_keeps_no_slot(server: FaultServer, tmp_path: Path) -> None:
    with Fetcher(limits_for(server, per_host=1), tmp_path) as idle:
        idle.fetch(server.url("ok"))
        assert fetched_by(started(server, tmp_path, [server.url("ok", 1)], per_host=1)) == 1
        assert idle.fetch(server.url("ok")).status == 200


def test_starts_are_apart_by_the_delay_in_two_processes(server: FaultServer, tmp_path: Path) -> None:
    processes = []
    for each in range(2):
        urls = [server.url("ok", f"{each}-{number}") for number in range(8)]
        processes.append(started(server, tmp_path, urls, per_host=8, delay_s=0.1))
    assert [fetched_by(process) for process in processes] == [8, 8]
    times = [when for _, when in server.log.times]
    assert times[-1] - times[0] >= 1.2, "17 requests, 0.1 s apart, on a machine that may be busy"


def test_a_long_retry_after_ends_all_rows_of_the_host_without_more_requests(server: FaultServer) -> None:
    urls = [server.url("color", number) for number in range(100)]
    with FaultServer() as other, Fetcher(limits_for(server, other)) as fetcher:
        with pytest.raises(FetchError) as first:
            fetcher.fetch(server.url("wait", "3600/0"))
        assert (first.value.attempts, first.value.retry_after, first.value.status) == (1, 3600, 429)
        begun = time.monotonic()
        *held, good = fetcher.fetch_all([*urls, other.url("ok")])
        assert time.monotonic() - begun < 60
    assert isinstance(good, Fetched)
    for outcome in held:
        assert isinstance(outcome, FetchError)
        assert (outcome.reason, outcome.transient) == ("http_429", True)
        assert outcome.retry_after is not None and 3500 < outcome.retry_after <= 3600
    assert len(server.images) == 1


def test_a_dead_host_a_slow_host_and_a_limited_host_stall_nobody(server: FaultServer) -> None:
    with FaultServer() as slow, FaultServer() as limited, FaultServer() as dead:
        dead.robots("", 200)
        urls: list[str] = []
        for number in range(40):
            urls += [dead.url("hang", number), slow.url("drip", number), limited.url("ok", number)]
        urls += [server.url("color", number) for number in range(200)]
        good = set(range(120, 320))
        limited.robots("User-agent: *\nCrawl-delay: 5")
        landed: list[int] = []
        with Fetcher(limits_for(server, slow, limited, dead, attempts=1, per_host=2)) as fetcher:
            outcomes = fetcher.fetch_all(urls, threads=8, landed=lambda index, _: landed.append(index))
            next(outcomes)
            until(lambda: good <= set(landed))
            before = [index for index in landed[: landed.index(max(good, key=landed.index))] if index not in good]
            outcomes.close()
    assert len(before) < 60, "120 rows of hosts that take seconds for each were there first"


def test_a_back_off_occupies_no_thread(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lance_assets.ingest.hops.FIRST_WAIT_S", 1000.0)
    monkeypatch.setattr("lance_assets.ingest.hops.LONGEST_WAIT_S", 1000.0)
    urls = [server.url("ok"), *(server.url("503", number) for number in range(20))]
    urls += [server.url("color", number) for number in range(40)]
    with Fetcher(limits_for(server)) as fetcher:
        landed: list[int] = []
        outcomes = fetcher.fetch_all(urls, threads=2, landed=lambda index, _: landed.append(index))
        assert isinstance(next(outcomes), Fetched)
        until(lambda: len(landed) == 41 and len(server.images) == 61)
        outcomes.close()
    assert set(landed) == {0, *range(21, 61)}, "the others wait for their second attempt"


def test_the_gate_costs_little(tmp_path: Path) -> None:
    gate = HostGate(tmp_path)
    rounds: list[float] = []
    for _ in range(5):
        begun = time.process_time()
        for number in range(1000):
            host = f"host{number % 50}"
            turn = gate.enter(host, 8, 0.0)
            assert turn.slot is not None
            gate.leave(host, turn.slot)
        rounds.append((time.process_time() - begun) / 1000)
    assert min(rounds) < 60e-6


def test_a_gate_forgets_no_host_while_the_table_is_crowded(tmp_path: Path) -> None:
    gate = HostGate(tmp_path)
    gate.hold("precious", 80_000)
    for number in range(20_000):
        gate.hold(f"host{number}", 0.0)
    assert 70_000 < gate.enter("precious", 1, 0).wait_s <= 80_000
