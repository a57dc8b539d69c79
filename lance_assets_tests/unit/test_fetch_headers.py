"""What the headers of an answer mean: opt-outs, and images that did not change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lance_assets.ingest.fetch import Fetcher, Request
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.optout import opt_out
from lance_assets.ingest.outcome import Fetched, FetchError, Unmodified
from lance_assets_tests.fault_server import FaultServer


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def limits_for(server: FaultServer, **changes: Any) -> Limits:
    values = {"read_s": 20.0, "total_s": 30.0, "attempts": 2, "allow_hosts": frozenset({server.host})}
    return Limits(**{**values, **changes})


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (["noai"], "noai"),
        (["NoAI"], "noai"),
        (["all, noimageai"], "noimageai"),
        (["nofollow", "noindex"], "noindex"),
        (["noimageindex"], "noimageindex"),
        (["none"], "none"),
        (["lance-assets: noai"], "noai"),
        (["lance-assets: nofollow, noindex"], "noindex"),
        (["otherbot: noai"], None),
        (["otherbot: nofollow, noai"], None),
        (["otherbot: noai, lance-assets: noindex"], "noindex"),
        (["otherbot: noai", "noindex"], "noindex"),
        (["unavailable_after: 25 Jun 2030 15:00:00 GMT, noai"], "noai"),
        (["max-snippet: -1, noindex"], "noindex"),
        (["index, follow"], None),
        (["noaipreview"], None),
        ([], None),
    ],
)
def test_opt_out_headers_are_understood(headers: list[str], said: str | None) -> None:
    assert opt_out(headers) == said


def test_an_opted_out_image_is_not_read_unless_asked_for(server: FaultServer) -> None:
    url = server.url("tag", "noai")
    with Fetcher(limits_for(server)) as fetcher, pytest.raises(FetchError) as caught:
        fetcher.fetch(url)
    assert (caught.value.reason, caught.value.status, caught.value.transient) == ("opted_out", 200, False)
    with Fetcher(limits_for(server, opt_out_headers=False)) as fetcher:
        assert fetcher.fetch(url).status == 200


@pytest.mark.parametrize("condition", [{"etag": '"one"'}, {"last_modified": "Mon, 01 Jan 2024 00:00:00 GMT"}])
def test_an_image_that_did_not_change_is_not_sent_again(server: FaultServer, condition: dict[str, str]) -> None:
    with Fetcher(limits_for(server)) as fetcher:
        first = fetcher.fetch(server.url("etag"))
        assert isinstance(first, Fetched)
        assert (first.etag, first.last_modified) == ('"one"', "Mon, 01 Jan 2024 00:00:00 GMT")
        again = fetcher.fetch(Request(server.url("etag"), **condition))
    assert isinstance(again, Unmodified)
    assert (again.status, again.etag, again.attempts, again.final_url) == (304, '"one"', 1, server.url("etag"))


@pytest.mark.parametrize("etag", ['"two"', 'a"\r\nInjected: yes', "x" * 5000, "ä"])
def test_another_or_an_unusable_etag_fetches_the_image(server: FaultServer, etag: str) -> None:
    with Fetcher(limits_for(server)) as fetcher:
        assert isinstance(fetcher.fetch(Request(server.url("etag"), etag=etag)), Fetched)
    assert not any("Injected" in headers for headers in server.log.headers)
