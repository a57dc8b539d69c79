"""A loopback image server that remembers what it was asked for."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lance_assets_tests.tables import picture


class Pictures(BaseHTTPRequestHandler):
    """`/<number>.jpg` is a picture; `/gone/...` is not there, `/busy/...` not now, until `mended` is set; `/html/...`
    is a page that says it is a picture; `/held/...` is a picture that comes only once `released` is set. A picture has
    an ETag; one whose number is in `changed` is another one by now."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        if self.path == "/robots.txt":
            return self.answer(404, b"not here")
        self.server.paths.append(self.path)
        number = int("".join(filter(str.isdigit, self.path)) or 0)
        body = picture(number + 10_000 * (number in self.server.changed), 64)
        tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if self.path.startswith(("/gone/", "/busy/")) and not self.server.mended.is_set():
            return self.answer(404 if self.path.startswith("/gone/") else 503, b"not here")
        if self.path.startswith("/html/"):
            return self.answer(200, b"<html>please log in</html>")
        if self.path.startswith("/held/"):
            self.server.released.wait()
        if self.headers.get("If-None-Match") == tag:
            self.server.unmodified.append(self.path)
            return self.answer(304, b"", tag)
        return self.answer(200, body, tag)

    def answer(self, status: int, body: bytes, tag: str = "") -> None:
        with suppress(ConnectionError):  # a client that was killed does not wait
            self.send_response(status)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(body)))
            if tag:
                self.send_header("ETag", tag)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tests read `paths` instead."""


class Server(ThreadingHTTPServer):
    """`host` is host:port; `paths` are those requested so far, in order, `unmodified` those answered by 304."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Pictures)
        self.paths: list[str] = []
        self.unmodified: list[str] = []
        self.changed: set[int] = set()
        self.released, self.mended = threading.Event(), threading.Event()
        self.host = f"127.0.0.1:{self.server_port}"

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().server_bind()

    def url(self, number: int, kind: str = "") -> str:
        """A URL of one picture; `kind` is "", "gone", "busy", "html" or "held"."""
        return f"http://{self.host}/{f'{kind}/' if kind else ''}{number}.jpg"


@contextmanager
def picture_server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.released.set()
        server.shutdown()
