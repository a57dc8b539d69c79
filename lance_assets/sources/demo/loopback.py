"""What both demo servers share: quick HTTP/1.1 answers on 127.0.0.1, a request log, and whose servers they are."""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

ALIVE_PATH = "/-/alive"
HOST = "127.0.0.1"


def identity(demo_dir: Path) -> str:
    """Tells the servers of one demo folder from those of another, without giving the folder away."""
    return hashlib.sha256(str(demo_dir.resolve()).encode()).hexdigest()[:16]


class LoopbackServer(ThreadingHTTPServer):
    """A threaded server on 127.0.0.1:`port` that appends every request to `log` as {"time", "path", "status"}, with
    "method" where it was not GET and "range" where a part was asked for."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, handler: type[LoopbackHandler], demo_dir: Path, log: str) -> None:
        super().__init__((HOST, port), handler)
        self.demo_dir = demo_dir
        self._log = (demo_dir / log).open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def record(self, path: str, status: int, **more: str) -> None:
        """One line of the log, flushed, so that readers see it as soon as the answer is out."""
        line = json.dumps({"time": round(time.time(), 3), "path": path, "status": status, **more})
        with self._lock:
            self._log.write(line + "\n")
            self._log.flush()

    def server_close(self) -> None:
        """Closes the socket and the log."""
        super().server_close()
        with self._lock:
            self._log.close()


class LoopbackHandler(BaseHTTPRequestHandler):
    """Keep-alive answers with a length; subclasses say what to answer in `answer`."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # head and body in one write: two writes cost 40 ms each on a kept connection
    disable_nagle_algorithm = True

    @property
    def place(self) -> LoopbackServer:
        """The server with its folder and log."""
        return cast(LoopbackServer, self.server)

    def do_GET(self) -> None:
        """Answers who we are, or hands over to the subclass."""
        if self.path == ALIVE_PATH:
            body = json.dumps({"identity": identity(self.place.demo_dir), "pid": os.getpid()})
            self.send(200, body.encode(), "application/json", record=False)
        else:
            self.answer()

    do_HEAD = do_GET

    def answer(self) -> None:
        """Answers one GET or HEAD."""
        raise NotImplementedError

    def send(
        self,
        status: int,
        body: bytes,
        kind: str,
        headers: dict[str, str] | None = None,
        length: int | None = None,
        record: bool = True,
    ) -> None:
        """Sends and logs one answer; a `length` above the body's own is a truncated answer and ends the connection."""
        if record:
            self.record(status)
        self.send_head(status, kind, len(body) if length is None else length, headers)
        if length is not None and length > len(body):
            self.close_connection = True
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_pieces(
        self, status: int, pieces: Iterator[bytes], length: int, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        """Sends and logs an answer of `length` bytes that is not held in memory; fewer end the connection."""
        self.record(status)
        self.send_head(status, kind, length, headers)
        if self.command == "HEAD":
            return
        sent = 0
        for piece in pieces:
            self.wfile.write(piece)
            sent += len(piece)
        self.close_connection = self.close_connection or sent < length

    def record(self, status: int) -> None:
        """Logs this request."""
        more = {"method": self.command} if self.command != "GET" else {}
        if asked := self.headers.get("Range"):
            more["range"] = asked
        self.place.record(self.path, status, **more)

    def send_head(self, status: int, kind: str, length: int, headers: dict[str, str] | None) -> None:
        """The status line and the headers."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr: the request log has it."""
