"""A loopback forwarder that is as slow as an object store in the same region: each answer begins late, and all
connections share one bandwidth. A process of its own; a second port tells how many bytes it has carried."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
MODULE = "lance_assets_tests.bench.label_throttle"
#: Names host:port of the second port.
COUNTS = "LANCE_ASSETS_BENCH_CARRIED"
PIECE = 1 << 17
ANSWER_S = 60


class Throttle:
    """To `target` (host:port): `latency_s` before the first byte of each answer, `rate` bytes a second both ways."""

    def __init__(self, target: str, latency_s: float, rate: float) -> None:
        host, _, port = target.partition(":")
        self.target, self.latency_s, self.rate = (host, int(port)), latency_s, rate
        self.free = 0.0
        self.carried = [0, 0]
        self.running: set[asyncio.Task[None] | None] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, to its end."""
        me = asyncio.current_task()
        self.running.add(me)  # the loop itself only knows tasks weakly
        theirs, ours = await asyncio.open_connection(*self.target, limit=PIECE)
        asked = [0.0]
        with suppress(ConnectionError):  # one of the two ended
            await asyncio.gather(self._ask(reader, ours, asked), self._answer(theirs, writer, asked))
        for one in (writer, ours):
            one.close()
        self.running.discard(me)

    async def _ask(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, asked: list[float]) -> None:
        while data := await source.read(PIECE):
            asked[0] = time.monotonic()
            await self._wait(len(data))
            self.carried[1] += len(data)
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()

    async def _answer(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, asked: list[float]) -> None:
        while data := await source.read(PIECE):
            if asked[0]:
                await asyncio.sleep(max(0.0, asked[0] + self.latency_s - time.monotonic()))
                asked[0] = 0.0
            await self._wait(len(data))
            self.carried[0] += len(data)
            sink.write(data)
            await sink.drain()
        sink.close()

    async def _wait(self, count: int) -> None:
        """Until the wire has carried so many bytes more."""
        now = time.monotonic()
        self.free = max(self.free, now) + count / self.rate
        if self.free - now > 0.002:  # shorter sleeps take longer than they say
            await asyncio.sleep(self.free - now)

    async def told(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(self.carried).encode())
        writer.close()


async def serve(target: str, latency_s: float, rate: float) -> None:
    """Says both ports on stdout and serves until its stdin ends."""
    throttle = Throttle(target, latency_s, rate)
    front = await asyncio.start_server(throttle.connected, LOOPBACK, 0, limit=PIECE)
    counts = await asyncio.start_server(throttle.told, LOOPBACK, 0)
    print(*(one.sockets[0].getsockname()[1] for one in (front, counts)), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@dataclass(frozen=True)
class Throttled:
    """host:port of the forwarder, and of its counts."""

    host: str
    counts: str


@contextmanager
def throttled(target: str, latency_s: float, rate: float) -> Iterator[Throttled]:
    command = [sys.executable, "-m", MODULE, target, str(latency_s), str(rate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            front, counts = process.stdout.readline().split() if process.stdout else ("", "")
            yield Throttled(f"{LOOPBACK}:{front}", f"{LOOPBACK}:{counts}")
        finally:
            process.kill()


def carried(counts: str) -> tuple[int, int]:
    """Bytes that clients have received and sent so far."""
    host, _, port = counts.partition(":")
    with socket.create_connection((host, int(port)), timeout=ANSWER_S) as connection:
        received, sent = json.loads(b"".join(iter(lambda: connection.recv(1 << 12), b"")))
    return received, sent


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
