"""A loopback image server that fails on demand: the first part of the path names the fault, the rest is free."""

from __future__ import annotations

import gzip
import io
import socket
import ssl
import struct
import sys
import threading
import zlib
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from PIL import Image, ImageChops

PIECE = bytes(65_536)


@cache
def jpeg(side: int = 96, color: int = 0) -> bytes:
    """A small JPEG; equal arguments give equal bytes."""
    stream = io.BytesIO()
    shade = ImageChops.add_modulo(Image.linear_gradient("L"), Image.new("L", (256, 256), color % 256))
    shade.resize((side, side)).convert("RGB").save(stream, "JPEG")
    return stream.getvalue()


@cache
def bomb() -> bytes:
    """A valid 1-bit PNG of 30,000 x 30,000 pixels in about 110 kB."""
    packer = zlib.compressobj()
    row = bytes(1 + 30_000 // 8)
    body = b"".join([packer.compress(row) for _ in range(30_000)] + [packer.flush()])
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


@cache
def zeros_gzip() -> bytes:
    """60 MB of zeros, packed into about 60 kB."""
    return gzip.compress(bytes(60_000_000), 6)


class Handler(BaseHTTPRequestHandler):
    """One connection. Each fault is a method `do_<name>`-like entry of `answer`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultHTTPServer

    def setup(self) -> None:
        if self.server.tls is not None:
            self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()
        with self.server.lock:
            self.server.connections += 1

    def do_GET(self) -> None:
        kind = self.path.split("/")[1]
        with self.server.lock:
            self.server.hits[self.path] += 1
            nth = self.server.hits[self.path]
            self.server.requests.append((self.path, self.headers.get("Host", "")))
        with suppress(ConnectionError, TimeoutError):  # clients under test hang up on purpose
            getattr(self, f"fault_{kind}")(nth)

    def reply(self, status: int, body: bytes = b"", kind: str = "image/jpeg", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", headers.pop("length", str(len(body))))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def drip(self, piece: bytes) -> None:
        self.close_connection = True
        while not self.server.stopping.wait(0.2):
            self.wfile.write(piece)

    def fault_ok(self, nth: int) -> None:
        self.reply(200, jpeg())

    def fault_404(self, nth: int) -> None:
        self.reply(404, b"nothing here", "text/plain")

    def fault_503once(self, nth: int) -> None:
        self.reply(503, Retry_After="0") if nth == 1 else self.reply(200, jpeg())

    def fault_429(self, nth: int) -> None:
        self.reply(429, Retry_After="1") if nth == 1 else self.reply(200, jpeg())

    def fault_429date(self, nth: int) -> None:
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
        self.reply(429, Retry_After=later) if nth == 1 else self.reply(200, jpeg())

    def fault_503(self, nth: int) -> None:
        self.reply(503)

    def fault_hang(self, nth: int) -> None:
        self.close_connection = True
        self.server.stopping.wait(60)

    def fault_drip(self, nth: int) -> None:
        self.send_response(200)
        self.end_headers()
        self.drip(bytes(50))

    def fault_dripheader(self, nth: int) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self.drip(b"x")

    def fault_trunc(self, nth: int) -> None:
        self.close_connection = True
        self.reply(200, jpeg(), length=str(len(jpeg()) + 1000))

    def fault_cut(self, nth: int) -> None:
        self.reply(200, jpeg()[: len(jpeg()) // 2])

    def fault_ctype(self, nth: int) -> None:
        self.reply(200, jpeg(), "application/octet-stream")

    def fault_html(self, nth: int) -> None:
        self.reply(200, b"<!DOCTYPE html><title>Please log in</title>")

    def fault_big(self, nth: int) -> None:
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        for _ in range(800):
            self.wfile.write(PIECE)

    def fault_declaredbig(self, nth: int) -> None:
        self.close_connection = True
        self.reply(200, jpeg(), length="52428800")

    def fault_redir(self, nth: int) -> None:
        self.reply(302, Location="http://169.254.169.254/latest/meta-data/")

    def fault_redirfile(self, nth: int) -> None:
        self.reply(302, Location="file:///etc/passwd")

    def fault_redirnowhere(self, nth: int) -> None:
        self.reply(302)

    def fault_redirok(self, nth: int) -> None:
        self.reply(302, Location="/ok/after-redirect")

    def fault_loop(self, nth: int) -> None:
        self.reply(302, Location=self.path)

    def fault_bomb(self, nth: int) -> None:
        self.reply(200, bomb(), "image/png")

    def fault_gzip(self, nth: int) -> None:
        self.reply(200, zeros_gzip(), Content_Encoding="gzip")

    def fault_reset(self, nth: int) -> None:
        self.close_connection = True
        # lingering for 0 seconds makes close() send a reset
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def fault_icon(self, nth: int) -> None:
        self.reply(200, jpeg(8))

    def fault_color(self, nth: int) -> None:
        self.reply(200, jpeg(96, int(self.path.split("/")[2]) % 256))

    def log_message(self, format: str, *args: object) -> None:
        """Silent: tests read `requests`."""


class FaultHTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tls = tls
        self.hits: Counter[str] = Counter()
        self.requests: list[tuple[str, str]] = []
        self.connections = 0
        self.lock = threading.Lock()
        self.stopping = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients under test hang up on purpose, also in the middle of a handshake; other errors are printed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        with suppress(OSError):  # the reset fault has closed it
            super().shutdown_request(request)


class FaultServer:
    """`with FaultServer() as server: server.url("ok")`; requests are [(path, Host header)] in order of arrival."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls

    def __enter__(self) -> FaultServer:
        self._http = FaultHTTPServer(self._tls)
        self.requests = self._http.requests
        self.host = f"127.0.0.1:{self._http.server_port}"
        self.port = self._http.server_port
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.stopping.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def connections(self) -> int:
        """Connections accepted so far."""
        return self._http.connections

    def url(self, kind: str, rest: str | int = 0) -> str:
        """A URL of one fault; the same `rest` is the same URL, which counts for the faults that end."""
        return f"http://{self.host}/{kind}/{rest}"
