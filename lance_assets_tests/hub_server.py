"""The demo's stand-in of the hub with faults on demand, and a proxy that shows who tries to reach anybody else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from lance_assets.sources.demo.hub import HUB_LOG, HubHandler, HubServer


@dataclass
class Fault:
    """What goes wrong with requests whose decoded path holds `where`, the next `times` times.

    status: an error of that number. hang: no answer for that many seconds. data: that JSON instead of the hub's.
    echo: a 404 that repeats the Authorization header. cut: the body ends after that many bytes. drip: every 64 kB take
    that many seconds. flip: that byte is another. HEAD requests are only touched by status and hang.
    """

    where: str
    kind: str
    value: Any = None
    times: int = 1


class FaultyHub(HubServer):
    """Serves root = folder/hub; `faults` are taken in order."""

    def __init__(self, folder: Path) -> None:
        super().__init__(0, folder, FaultyHandler)
        self.faults: list[Fault] = []
        self.stopped = threading.Event()
        self._faults = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self, path: str, kinds: tuple[str, ...]) -> Fault | None:
        """The fault for a request, counted."""
        with self._faults:
            for fault in self.faults:
                if fault.times and fault.kind in kinds and fault.where in unquote(path).replace("+", " "):
                    fault.times -= 1
                    return fault
        return None

    def requests(self, part: str = "") -> list[dict[str, Any]]:
        """The log's lines, those whose decoded path holds `part`."""
        lines = map(json.loads, (self.demo_dir / HUB_LOG).read_text().splitlines())
        return [line for line in lines if part in unquote(line["path"]).replace("+", " ")]

    def forget(self) -> None:
        """Empties the log and lifts all faults."""
        self.faults = []
        (self.demo_dir / HUB_LOG).write_text("")


class FaultyHandler(HubHandler):
    @property
    def hub(self) -> FaultyHub:
        return cast(FaultyHub, self.server)

    def answer(self) -> None:
        kinds = ("status", "hang") if self.command == "HEAD" else ("status", "hang", "data", "echo")
        fault = self.hub.take(self.path, kinds)
        if fault is None:
            return super().answer()
        if fault.kind == "hang":
            self.hub.stopped.wait(fault.value)
            return super().answer()
        if fault.kind == "data":
            return self._ok(fault.value)
        if fault.kind == "echo":
            return self._missing(f"you sent {self.headers.get('Authorization')} {self.headers.get('Cookie')}")
        self.send(fault.value, b'{"Code": 1, "Success": false, "Message": "planted"}', "application/json")

    def pieces(self, path: Path, first: int, end: int) -> Iterator[bytes]:
        fault = None if self.command == "HEAD" else self.hub.take(self.path, ("cut", "drip", "flip"))
        at = first
        for piece in super().pieces(path, first, end):
            if fault and fault.kind == "cut" and at + len(piece) >= first + fault.value:
                yield piece[: first + fault.value - at]
                return
            if fault and fault.kind == "drip":
                self.hub.stopped.wait(fault.value)
            if fault and fault.kind == "flip" and at <= fault.value < at + len(piece):
                piece = piece[: fault.value - at] + bytes([piece[fault.value - at] ^ 1]) + piece[fault.value - at + 1 :]
            at += len(piece)
            yield piece


@contextmanager
def hub_server(folder: Path) -> Iterator[FaultyHub]:
    """A hub over folder/hub that answers while inside."""
    (folder / "hub").mkdir(exist_ok=True)
    with running(FaultyHub(folder)) as server:
        yield cast(FaultyHub, server)
        cast(FaultyHub, server).stopped.set()


class Proxy(ThreadingHTTPServer):
    """A proxy that refuses everybody and remembers what they wanted: whoever passes the endpoint by shows up here."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ProxyHandler)
        self.wanted: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class ProxyHandler(BaseHTTPRequestHandler):
    def refuse(self) -> None:
        cast(Proxy, self.server).wanted.append(f"{self.command} {self.path}")
        self.send_error(403)

    do_GET = do_HEAD = do_POST = do_CONNECT = refuse

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[ThreadingHTTPServer]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
