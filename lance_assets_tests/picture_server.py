"""A loopback image server that remembers what it was asked for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lance_assets_tests.tables import picture


class Pictures(BaseHTTPRequestHandler):
    """`/<number>.jpg` is a picture; `/gone/...` is not there; `/html/...` is a page that says it is a picture;
    `/held/...` is a picture that comes only once `release()` was called."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        body, status = picture(int("".join(filter(str.isdigit, self.path)) or 0), 64), 200
        if self.path.startswith("/gone/"):
            body, status = b"not here", 404
        elif self.path.startswith("/html/"):
            body = b"<html>please log in</html>"
        elif self.path.startswith("/held/"):
            self.server.released.wait()
        with suppress(ConnectionError):  # a client that was killed does not wait
            self.send_response(status)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Tests read `paths` instead."""


class Server(ThreadingHTTPServer):
    """`host` is host:port; `paths` are those requested so far, in order."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Pictures)
        self.paths: list[str] = []
        self.released = threading.Event()
        self.host = f"127.0.0.1:{self.server_port}"

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().server_bind()

    def url(self, number: int, kind: str = "") -> str:
        """A URL of one picture; `kind` is "", "gone", "html" or "held"."""
        return f"http://{self.host}/{f'{kind}/' if kind else ''}{number}.jpg"


@contextmanager
def picture_server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield server
        server.released.set()
        server.shutdown()
