"""What the fault server answers: the first part of the path names the fault, the rest is free."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING
from urllib.parse import unquote

from lance_assets_tests import fault_files
from lance_assets_tests.fault_files import bomb, jpeg, zeros_gzip

if TYPE_CHECKING:
    from lance_assets_tests.fault_server import FaultHTTPServer

PIECE = bytes(65_536)

FILES = {
    "svg": lambda: fault_files.SVG,
    "zipped": fault_files.zipped,
    "htmljpeg": fault_files.html_jpeg,
    "gifscript": fault_files.gif_script,
    "hugeexif": fault_files.huge_exif,
    "cutexif": fault_files.cut_exif,
    "wrongcrc": fault_files.wrong_crc,
    "gifframes": lambda: fault_files.frames("GIF"),
    "tiffpages": lambda: fault_files.frames("TIFF"),
}
#: Statuses that have a fault of their own; all others are sent as they are.
KNOWN_NUMBERS = ("404", "429", "503")


class Handler(BaseHTTPRequestHandler):
    """One connection. Each fault is a method `fault_<name>`; a file of `FILES` is sent as it is."""

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
            self.server.times.append((self.path, time.time()))
            self.server.headers.append(dict(self.headers.items()))
        with suppress(ConnectionError, TimeoutError):  # clients under test hang up on purpose
            if kind in FILES:
                self.reply(200, FILES[kind]())
            elif kind.isdigit() and kind not in KNOWN_NUMBERS:
                self.reply(int(kind), b"" if kind in ("204", "304") else jpeg())
            else:
                getattr(self, f"fault_{kind.replace('.', '_')}")(nth)

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

    def fault_robots_txt(self, nth: int) -> None:
        status, body, headers = self.server.robots
        self.reply(status, body, "text/plain", **headers)

    def fault_ok(self, nth: int) -> None:
        self.reply(200, jpeg())

    def fault_404(self, nth: int) -> None:
        self.reply(404, b"nothing here", "text/plain")

    def fault_503once(self, nth: int) -> None:
        self.reply(503, Retry_After="0") if nth == 1 else self.reply(200, jpeg())

    def fault_wait(self, nth: int) -> None:
        """429 with a Retry-After of the seconds in the path, once."""
        seconds = self.path.split("/")[2]
        if nth == 1:
            self.server.refused = time.time()
            self.reply(429, Retry_After=seconds)
        else:
            self.reply(200, jpeg())

    def fault_slow(self, nth: int) -> None:
        """Counts how many such requests wait at the same time: a part of the time that they take for the client."""
        with self.server.lock:
            self.server.active += 1
            self.server.most_active = max(self.server.most_active, self.server.active)
        self.server.stopping.wait(0.03)
        with self.server.lock:
            self.server.active -= 1
        self.reply(200, jpeg())

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

    def fault_redircredentials(self, nth: int) -> None:
        self.reply(302, Location=f"http://user:secret@{self.headers['Host']}/ok/1")

    def fault_redirother(self, nth: int) -> None:
        """To the same fault of the neighbour, which sends back."""
        self.reply(302, Location=f"http://{self.server.neighbour}{self.path}")

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

    def fault_short(self, nth: int) -> None:
        """More bytes than declared."""
        self.reply(200, jpeg(), length=str(len(jpeg()) // 2))

    def chunked(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def fault_chunked(self, nth: int) -> None:
        self.chunked()
        self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(jpeg()), jpeg()))

    def fault_chunkedcut(self, nth: int) -> None:
        self.close_connection = True
        self.chunked()
        self.wfile.write(b"%x\r\n%b" % (len(jpeg()) + 9, jpeg()))

    def fault_chunkedendless(self, nth: int) -> None:
        self.close_connection = True
        self.chunked()
        while not self.server.stopping.is_set():
            self.wfile.write(b"10000\r\n" + PIECE + b"\r\n")

    def fault_longheader(self, nth: int) -> None:
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\n")

    def fault_manyheaders(self, nth: int) -> None:
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 1000 + b"\r\n")

    def fault_http09(self, nth: int) -> None:
        self.close_connection = True
        self.wfile.write(jpeg())

    def fault_tag(self, nth: int) -> None:
        """An image with the X-Robots-Tag that the path says."""
        self.reply(200, jpeg(), X_Robots_Tag=unquote(self.path.split("/")[2]))

    def fault_etag(self, nth: int) -> None:
        """304 to who has it already."""
        known = self.headers.get("If-None-Match") == '"one"' or "If-Modified-Since" in self.headers
        status, body = (304, b"") if known else (200, jpeg())
        self.reply(status, body, ETag='"one"', Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT")

    def fault_icon(self, nth: int) -> None:
        self.reply(200, jpeg(8))

    def fault_color(self, nth: int) -> None:
        self.reply(200, jpeg(96, int(self.path.split("/")[2]) % 256))

    def log_message(self, format: str, *args: object) -> None:
        """Silent: tests read `requests`."""
