"""No URL of a data set reaches anything but the public internet and the hosts that were allowed by name."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from lance_assets.ingest.addresses import AddressGuard, is_public
from lance_assets.ingest.connections import open_socket
from lance_assets.ingest.fetch import Fetcher
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import FetchError
from lance_assets_tests.fault_server import FaultServer

PRIVATE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.100.100.200",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "2002:7f00:1::",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "64:ff9b:1::808:808",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
]


def answers(*addresses: str) -> list[tuple[Any, ...]]:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in addresses]


def reason_of(url: str, limits: Limits | None = None) -> str:
    with Fetcher(limits or Limits(attempts=1)) as fetcher, pytest.raises(FetchError) as caught:
        fetcher.fetch(url)
    return caught.value.reason


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_recognised(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_a_public_address_is_recognised(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "[::1]", "10.0.0.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.1"],
)
def test_a_host_that_leads_inside_is_blocked(host: str) -> None:
    assert reason_of(f"http://{host}/x.jpg") == "blocked_address"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/x.jpg",
        "/data/x.jpg",
        "x.jpg",
        "//example.org/x.jpg",
        "http://",
        "http:///x.jpg",
        "",
        "data:image/png;base64,AAAA",
        "http://user:secret@example.org/x.jpg",
        "http://token@example.org/x.jpg",
        "http://exa mple.org/",
        "http://example.org:99999/",
        "http://[::1/",
        "http://example.org/" + "x" * 9000,
    ],
)
def test_a_url_that_nobody_should_ask_for_is_bad(url: str) -> None:
    assert reason_of(url) == "bad_url"


def test_a_refused_url_does_not_repeat_its_password() -> None:
    with Fetcher(Limits()) as fetcher, pytest.raises(FetchError) as caught:
        fetcher.fetch("http://user:hunter2@example.org/x.jpg")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", [f"http://{'a' * 70}.invalid/x", "http://nowhere.invalid/x"])
def test_a_name_that_does_not_resolve_is_dns(url: str) -> None:
    assert reason_of(url) == "dns"


def test_one_private_address_among_public_ones_blocks_the_host() -> None:
    guard = AddressGuard(lookup=lambda *a, **k: answers("8.8.8.8", "10.0.0.1"))
    with pytest.raises(FetchError, match="blocked_address"):
        guard.resolve("mixed.example.org", 80)


def test_the_allow_list_names_exact_hosts_and_ports() -> None:
    guard = AddressGuard({"mirror.local", "127.0.0.1:8080", "[::1]:9000"})
    assert guard.allows("mirror.local", 80) and guard.allows("MIRROR.local", 443)
    assert guard.allows("127.0.0.1", 8080) and not guard.allows("127.0.0.1", 8081)
    assert guard.allows("[::1]", 9000) and guard.allows("::1", 9000)
    assert not guard.allows("sub.mirror.local", 80)


def test_an_allowed_port_does_not_open_its_neighbour() -> None:
    with FaultServer() as allowed, FaultServer() as other:
        limits = Limits(attempts=1, allow_hosts=frozenset({allowed.host}))
        assert reason_of(other.url("ok"), limits) == "blocked_address"
        assert other.requests == []


def test_a_name_is_resolved_once_and_the_connection_goes_to_that_answer() -> None:
    """DNS rebinding: the second answer would lead elsewhere, so there must be no second question."""
    with FaultServer() as server, socket.create_server(("127.0.0.1", 0)) as trap:
        ports = iter((server.port, trap.getsockname()[1]))

        def changing(*_: object, **__: object) -> list[tuple[Any, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", next(ports)))]

        guard = AddressGuard({"images.example.org"}, lookup=changing)
        with open_socket(guard, "images.example.org", 80, 2) as sock:
            assert sock.getpeername() == ("127.0.0.1", server.port)
        assert next(ports) == trap.getsockname()[1], "the resolver was asked a second time"


def test_a_rebinding_answer_between_two_hops_is_blocked() -> None:
    public_then_private = iter((answers("8.8.8.8"), answers("127.0.0.1")))
    guard = AddressGuard(lookup=lambda *a, **k: next(public_then_private))
    assert guard.resolve("rebind.example.org", 80)[0].sockaddr[0] == "8.8.8.8"
    with pytest.raises(FetchError, match="blocked_address"):
        open_socket(guard, "rebind.example.org", 80, 2)


def test_the_fetcher_asks_the_resolver_once_per_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer() as server:
        asked: list[str] = []

        def lookup(host: str, port: int, *args: object, **kwargs: object) -> list[tuple[Any, ...]]:
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        with Fetcher(Limits(allow_hosts=frozenset({"images.example.org"}))) as fetcher:
            fetcher.fetch("http://images.example.org/ok/1")
            fetcher.fetch("http://images.example.org/ok/2")
        assert asked == ["images.example.org"]
        assert server.images == [("/ok/1", "images.example.org"), ("/ok/2", "images.example.org")]


def test_a_dead_first_address_falls_over_to_the_next() -> None:
    with FaultServer() as server, socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))  # bound, not listening: refuses
        both = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
            for port in (dead.getsockname()[1], server.port)
        ]
        guard = AddressGuard({"images.example.org"}, lookup=lambda *a, **k: both)
        with open_socket(guard, "images.example.org", 80, 2) as sock:
            assert sock.getpeername()[1] == server.port
