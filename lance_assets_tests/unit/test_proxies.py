"""The proxies of the environment are used when asked for, and only then."""

from __future__ import annotations

import base64
import select
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lance_assets.errors import BadInput
from lance_assets.ingest.fetch import Fetcher
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import FetchError
from lance_assets_tests.fault_files import jpeg
from lance_assets_tests.fault_server import FaultServer

CREDENTIALS = "Basic " + base64.b64encode(b"user:secret").decode()


class Proxy(BaseHTTPRequestHandler):
    """Answers http requests itself, and connects whoever asks for a tunnel to `upstream`."""

    protocol_version = "HTTP/1.1"
    server: ProxyServer

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Host"), self.headers.get("Proxy-Authorization")))
        body = b"" if self.path.endswith("/robots.txt") else jpeg()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_CONNECT(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Host"), self.headers.get("Proxy-Authorization")))
        if not self.server.upstream:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with socket.create_connection(("127.0.0.1", self.server.upstream)) as upstream:
            ends = {self.connection: upstream, upstream: self.connection}
            while data := b"".join(self.pass_on(end, ends[end]) for end in select.select(list(ends), [], [], 5)[0]):
                assert data

    def pass_on(self, source: socket.socket, target: socket.socket) -> bytes:
        data = source.recv(65_536)
        target.sendall(data)
        return data

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


class ProxyServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Proxy)
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.upstream = 0


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProxyServer]:
    with ProxyServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://user:secret@127.0.0.1:{server.server_port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        yield server
        server.shutdown()


def limits(**changes: Any) -> Limits:
    return Limits(**{"attempts": 1, "read_s": 20.0, "total_s": 30.0, "proxies": True, **changes})


def test_a_proxy_gets_the_whole_url_and_resolves_the_name(proxy: ProxyServer, caplog: pytest.LogCaptureFixture) -> None:
    with Fetcher(limits()) as fetcher:
        assert fetcher.fetch("http://images.invalid/a b.jpg?x=1").status == 200
    assert [path for path, _, _ in proxy.asked] == [
        "http://images.invalid/robots.txt",
        "http://images.invalid/a%20b.jpg?x=1",
    ]
    assert {(host, key) for _, host, key in proxy.asked} == {("images.invalid", CREDENTIALS)}
    assert "no address can be checked" in caplog.text and "secret" not in caplog.text


def test_without_the_wish_no_proxy_is_asked(proxy: ProxyServer) -> None:
    with FaultServer() as server, Fetcher(limits(proxies=False, allow_hosts=frozenset({server.host}))) as fetcher:
        assert fetcher.fetch(server.url("ok")).status == 200
    assert proxy.asked == []


def test_hosts_of_no_proxy_are_asked_directly(proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with FaultServer() as server, Fetcher(limits(allow_hosts=frozenset({server.host}))) as fetcher:
        assert fetcher.fetch(server.url("ok")).status == 200
    assert proxy.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "[::1]", "169.254.169.254"])
def test_an_inner_address_in_a_url_is_refused_with_a_proxy_too(proxy: ProxyServer, host: str) -> None:
    with Fetcher(limits()) as fetcher, pytest.raises(FetchError) as caught:
        fetcher.fetch(f"http://{host}/x.jpg")
    assert caught.value.reason == "blocked_address"
    assert proxy.asked == []


def test_https_goes_through_a_tunnel_that_the_credentials_open(proxy: ProxyServer) -> None:
    with Fetcher(limits(robots=False)) as fetcher, pytest.raises(FetchError, match="the proxy refused: 403"):
        fetcher.fetch("https://images.invalid/x.jpg")
    assert proxy.asked == [("images.invalid:443", "images.invalid:443", CREDENTIALS)]


def test_the_certificate_is_checked_through_the_tunnel(proxy: ProxyServer) -> None:
    with FaultServer() as server:
        proxy.upstream = server.port  # which speaks no TLS
        with Fetcher(limits(robots=False)) as fetcher, pytest.raises(FetchError, match="SSL"):
            fetcher.fetch("https://images.invalid/x.jpg")
        assert server.requests == []


def test_a_proxy_of_another_kind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1080")
    with pytest.raises(BadInput, match="http://host:port"):
        Fetcher(limits())
