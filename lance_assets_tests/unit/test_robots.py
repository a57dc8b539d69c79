"""robots.txt is obeyed, asked for once, and recorded as reasons."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lance_assets.ingest import robots as robots_module
from lance_assets.ingest.fetch import Fetcher
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import Fetched, FetchError, Outcome
from lance_assets.ingest.robots import MOST_BYTES, Verdict, rules_for_us
from lance_assets_tests.fault_server import FaultServer, until


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server, FaultServer() as neighbour:
        server.log.neighbour = neighbour.host
        yield server


def limits_for(server: FaultServer, **changes: Any) -> Limits:
    values = {"read_s": 20.0, "total_s": 30.0, "attempts": 2, "allow_hosts": frozenset({server.host})}
    return Limits(**{**values, **changes})


def fetch_all(server: FaultServer, urls: list[str], shared: Path | None = None, **changes: Any) -> list[Outcome]:
    with Fetcher(limits_for(server, **changes), shared) as fetcher:
        return list(fetcher.fetch_all(urls))


def reasons(outcomes: list[Outcome]) -> list[str | None]:
    return [outcome.reason if isinstance(outcome, FetchError) else None for outcome in outcomes]


def asked_for_rules(server: FaultServer) -> int:
    return [path for path, _ in server.requests].count("/robots.txt")


def test_a_disallowed_image_is_never_asked_for_and_its_neighbours_are(server: FaultServer) -> None:
    server.robots("User-agent: *\nDisallow: /color/\nAllow: /color/7")
    urls = [server.url("color", 1), server.url("ok"), server.url("color", 7), server.url("redirok")]
    assert reasons(fetch_all(server, urls)) == ["robots_disallowed", None, None, None]
    assert {path for path, _ in server.images} == {"/ok/0", "/color/7", "/redirok/0", "/ok/after-redirect"}


def test_where_a_redirect_leads_is_asked_for_its_own_rules(server: FaultServer) -> None:
    server.robots("User-agent: *\nDisallow: /ok/after")
    [outcome] = fetch_all(server, [server.url("redirok")])
    assert reasons([outcome]) == ["robots_disallowed"]
    assert [path for path, _ in server.images] == ["/redirok/0"]


def test_a_path_is_judged_as_it_goes_over_the_wire(server: FaultServer) -> None:
    server.robots("User-agent: *\nDisallow: /private/")
    urls = [f"http://{server.host}/ok/../private/1", f"http://{server.host}/%70rivate/1"]
    assert reasons(fetch_all(server, urls)) == ["robots_disallowed"] * 2


def test_a_crowd_asks_for_the_rules_once(server: FaultServer) -> None:
    outcomes = fetch_all(server, [server.url("color", number) for number in range(200)], per_host=16)
    assert all(isinstance(outcome, Fetched) for outcome in outcomes)
    assert asked_for_rules(server) == 1
    assert server.requests[0][0] == "/robots.txt"


def test_the_rules_of_a_day_are_shared_by_later_fetchers(server: FaultServer, tmp_path: Path) -> None:
    server.robots("User-agent: lance-assets\nDisallow: /")
    for _ in range(2):
        assert reasons(fetch_all(server, [server.url("ok")], tmp_path)) == ["robots_disallowed"]
    assert asked_for_rules(server) == 1


def test_rules_are_asked_for_again_when_they_are_old(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lance_assets.ingest.hops.KEPT_S", 0.5)
    started = time.monotonic()
    with Fetcher(limits_for(server)) as fetcher:
        until(lambda: fetcher.fetch(server.url("ok")).status == 200 and asked_for_rules(server) == 2)
    assert time.monotonic() - started >= 0.5


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 204, 300])
def test_no_rules_allow_everything(server: FaultServer, status: int) -> None:
    server.robots("", status)
    assert reasons(fetch_all(server, [server.url("ok")])) == [None]


@pytest.mark.parametrize(("status", "attempts"), [(500, 2), (503, 2), (501, 1), (599, 1), (429, 2)])
def test_rules_that_cannot_be_had_are_a_transient_failure_of_all(
    server: FaultServer, status: int, attempts: int, tmp_path: Path
) -> None:
    server.robots("", status)
    urls = [server.url("color", number) for number in range(50)]
    outcomes = fetch_all(server, urls, tmp_path)
    assert reasons(outcomes) == ["robots_unavailable"] * 50
    assert all(isinstance(outcome, FetchError) and outcome.transient for outcome in outcomes)
    assert reasons(fetch_all(server, urls, tmp_path)) == ["robots_unavailable"] * 50
    assert asked_for_rules(server) == attempts and server.images == []


def test_rules_that_fail_once_are_asked_for_again(server: FaultServer) -> None:
    server.robots("", 503)
    with Fetcher(limits_for(server, attempts=5)) as fetcher:
        mending = threading.Thread(target=lambda: (until(lambda: asked_for_rules(server) > 0), server.robots("")))
        mending.start()
        assert reasons(list(fetcher.fetch_all([server.url("ok")]))) == [None]
        mending.join()
    assert asked_for_rules(server) > 1


def test_robots_off_asks_for_no_rules(server: FaultServer) -> None:
    server.robots("User-agent: *\nDisallow: /")
    assert reasons(fetch_all(server, [server.url("ok")], robots=False)) == [None]
    assert asked_for_rules(server) == 0


def test_rules_may_lie_behind_a_redirect(server: FaultServer) -> None:
    server.log.robots = (302, b"", {"Location": f"http://{server.log.neighbour}/robots.txt"})
    allow = frozenset({server.host, server.log.neighbour})
    assert reasons(fetch_all(server, [server.url("ok")], allow_hosts=allow)) == [None]
    server.log.robots = (302, b"", {"Location": "/robots.txt"})
    assert reasons(fetch_all(server, [server.url("ok")])) == [None]  # endless: as if there were none
    assert asked_for_rules(server) == 1 + 4


def test_rules_behind_a_forbidden_address_are_not_asked_for(server: FaultServer) -> None:
    with FaultServer() as forbidden:
        server.log.robots = (302, b"", {"Location": f"http://{forbidden.host}/robots.txt"})
        assert reasons(fetch_all(server, [server.url("ok")])) == ["robots_unavailable"]
        assert forbidden.requests == [] and server.images == []


def test_a_crawl_delay_is_kept(server: FaultServer) -> None:
    server.robots("User-agent: *\nCrawl-delay: 0.2")
    outcomes = fetch_all(server, [server.url("color", number) for number in range(6)])
    assert reasons(outcomes) == [None] * 6
    (path, told), *_, (_, last) = server.log.times
    assert path == "/robots.txt"
    assert last - told >= 1.0, "6 requests, 0.2 s apart, and the first may have been slow to arrive"


def test_a_crawl_delay_that_would_hold_up_the_batch_ends_the_rows_behind_and_leaves_other_hosts_alone(
    server: FaultServer,
) -> None:
    with FaultServer() as other:
        server.robots("User-agent: *\nCrawl-delay: 0.5")
        limits = Limits(allow_hosts=frozenset({server.host, other.host}), host_wait_s=1.0)
        urls = [server.url("color", number) for number in range(20)] + [other.url("color", 1)]
        with Fetcher(limits) as fetcher:
            outcomes = list(fetcher.fetch_all(urls, threads=4))
    counts = Counter(reasons(outcomes))
    assert counts["host_too_slow"] >= 10 and counts[None] == 21 - counts["host_too_slow"] >= 3
    assert reasons(outcomes)[-1] is None, "the other host"
    assert len(server.images) == counts[None] - 1
    late = next(outcome for outcome in outcomes if isinstance(outcome, FetchError))
    assert late.transient and late.attempts == 1


def test_only_the_first_512_kilobytes_count() -> None:
    filler = b"# " + b"x" * 1000 + b"\n"
    body = b"User-agent: *\n" + filler * 520 + b"Disallow: /\n"
    assert len(body) > MOST_BYTES
    Verdict(time.time() + 9, rules_for_us(body)).check("/x.jpg")
    with pytest.raises(FetchError, match="robots_disallowed"):
        Verdict(time.time() + 9, rules_for_us(b"User-agent: *\nDisallow: /\n" + filler * 600)).check("/x.jpg")


def test_a_hostile_rules_file_costs_little() -> None:
    agents = b"".join(b"User-agent: bot%d\n" % number for number in range(9_000))
    started = time.process_time()
    for body in (
        agents + b"User-agent: *\n" + b"Disallow: /b\n" * 9_000,
        b"User-agent: *\n" + b"".join(b"Disallow: /%d*a*a*a*a*a*a*a*a*a*a*b$\n" % number for number in range(9_000)),
        b"\x00\xff" * 250_000,
    ):
        verdict = Verdict(time.time() + 9, rules_for_us(body))
        for _ in range(3):
            verdict.check("/" + "a" * 8_000)
    assert time.process_time() - started < 20


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("User-agent: otherbot\nDisallow: /", True),
        ("User-agent: otherbot\nUser-agent: lance-assets\nDisallow: /", False),
        ("User-agent: lance-assets\nUser-agent: otherbot\nDisallow: /", False),
        ("User-agent: LANCE-Assets\nDisallow: /", False),
        ("User-agent: *\nDisallow: /\n\nUser-agent: lance-assets\nDisallow: /other", True),
        ("User-agent: lance-assets\nSitemap: http://x/y\nUser-agent: other\nDisallow: /", False),
        ("\ufeffUser-agent: *\nDisallow: /", False),
        ("user-agent:*\r\ndisallow:/", False),
        ("User-agent: *\nDisallow:", True),
        ("User-agent: *\nDisallow: /*.jpg$", False),
        ("User-agent: *\nDisallow: /*.png$", True),
        ("Disallow: /", True),
        ("", True),
    ],
)
def test_rules_are_read_as_the_standard_says(text: str, allowed: bool) -> None:
    verdict = Verdict(time.time() + 9, rules_for_us(text.encode()))
    if allowed:
        verdict.check("/x.jpg")
    else:
        with pytest.raises(FetchError, match="robots_disallowed"):
            verdict.check("/x.jpg")


def test_a_crawl_delay_is_capped() -> None:
    text = rules_for_us(b"User-agent: *\nCrawl-delay: 86400")
    assert Verdict(0, text).delay_s == robots_module.LONGEST_DELAY_S


OPENS = """
import sys
from pathlib import Path
from lance_assets.ingest.robots import Robots
print("ready", flush=True)
sys.stdin.readline()
for number in range(30):
    Robots(Path(sys.argv[1]) / str(number)).close()
"""


def test_processes_that_start_at_the_same_moment_share_a_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENS, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for process in running:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[1] for process in running]
    assert [process.returncode for process in running] == [0] * 4, said
