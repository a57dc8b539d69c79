"""The web of `bench ingest`: a loopback image server in a process of its own, as cheap as Python can serve, because it
shares the machine with its clients. `/<milliseconds of latency>/<number>.jpg`; the number decides about the fault."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lance_assets_tests.bench.photos import photo

#: One number in 20 is a fault, of each kind in turn: 5 %.
EVERY = 20
FAULTS = ("missing", "truncated", "html")
COUNTS = "/counts"
END = b"\r\n\r\n"
MODULE = "lance_assets_tests.bench.ingest_server"
CHECKOUT = Path(__file__).parents[2]
ANSWER_S = 60


def fault(number: int) -> str | None:
    """What is wrong with a number; None for a good one."""
    turn, place = divmod(number, EVERY)
    return FAULTS[turn % len(FAULTS)] if place == EVERY // 2 else None


def answer(number: int) -> bytes:
    """Header and body for a number."""
    kind = fault(number)
    if kind == "missing":
        return _message("404 Not Found", b"not here", "text/plain")
    if kind == "html":
        return _message("200 OK", b"<!DOCTYPE html><title>Please log in</title>")
    body = photo(number)
    if kind == "truncated":
        return _message("200 OK", body[: len(body) // 2], length=len(body))
    return _message("200 OK", body)


def _message(status: str, body: bytes, kind: str = "image/jpeg", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n".encode() + body


@dataclass
class Asked:
    """Requests by path, connections, and when the first request came (None = none did), by time.monotonic(), which all
    processes of a machine share."""

    requests: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    first: float | None = None


class Connection(asyncio.Protocol):
    """One client; its requests are answered one after the other, and nobody waits for anybody."""

    transport: asyncio.Transport

    def __init__(self, asked: list[Asked]) -> None:
        """The last of `asked` is what is being counted."""
        self.asked, self.received = asked, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.asked[-1].connections += 1

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(END)) >= 0:
            head, self.received = self.received[:end], self.received[end + len(END) :]
            self.request(head.split(b" ", 2)[1].decode(), b"connection: close" in head.lower())

    def request(self, path: str, last: bool) -> None:
        asked = self.asked[-1]
        if path == COUNTS:
            self.reply(_message("200 OK", json.dumps(vars(asked)).encode(), "application/json"), last)
            self.asked.append(Asked())
            return
        if asked.first is None:
            asked.first = time.monotonic()
        asked.requests[path] += 1
        _, _, name = path.rpartition("/")
        number, delay = name.removesuffix(".jpg"), path.strip("/").partition("/")[0]
        if not number.isdigit() or not delay.isdigit():  # robots.txt
            self.reply(_message("404 Not Found", b"", "text/plain"), last)
            return
        message, last = answer(int(number)), last or fault(int(number)) == "truncated"
        if delay == "0":
            self.reply(message, last)
        else:
            asyncio.get_running_loop().call_later(int(delay) / 1000, self.reply, message, last)

    def reply(self, message: bytes, last: bool) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(message)
        if last:
            self.transport.close()


async def serve() -> None:
    """Says its port on stdout and serves until its stdin ends, also when its starter was killed."""
    asked = [Asked()]
    photo(0)  # renders all
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(asked), "127.0.0.1", 0, backlog=1024)
    async with server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


@dataclass(frozen=True)
class Web:
    """A running server; `host` is host:port."""

    host: str

    def url(self, number: int, latency_ms: int) -> str:
        return f"http://{self.host}/{latency_ms}/{number}.jpg"

    def asked(self) -> Asked:
        """What came since the last call."""
        with urllib.request.urlopen(f"http://{self.host}{COUNTS}", timeout=ANSWER_S) as response:
            said = json.load(response)
        return Asked(Counter(said["requests"]), said["connections"] - 1, said["first"])  # less the one that asked


@contextmanager
def web() -> Iterator[Web]:
    command: Sequence[str] = (sys.executable, "-m", MODULE)
    with subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Web(f"127.0.0.1:{int(process.stdout.readline())}" if process.stdout else "")
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(serve())
