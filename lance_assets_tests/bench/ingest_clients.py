"""What `bench ingest` measures: a client stores the same images from the same server as the others, and afterwards it
is looked at what it stored."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from lance_assets_tests.bench.ingest_server import Asked, Web, fault
from lance_assets_tests.bench.photos import digest
from lance_assets_tests.bench.processes import Spent, spent_by
from lance_assets_tests.bench.sizes import Say

LIMIT_S = 600


@dataclass(frozen=True)
class Part:
    """The part of a run that a client wants measured, by time.monotonic(), where it knows better than that the first
    request begins it and the end of the command ends it, and that what a single image costs is the cost of the start.
    `idle_cpu_s` is what its cluster would have used in a second anyway."""

    start: float
    end: float
    idle_cpu_s: float


class Client(ABC):
    """`environment`: variables of its command."""

    name: str
    environment: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def prepare(self, say: Say) -> None:
        """Before anything is measured. Raises BadInput."""

    @abstractmethod
    def command(self, folder: Path, urls: Sequence[str], captions: Sequence[str], threads: int) -> list[str]:
        """What stores these images in a folder of its own."""

    def part(self, folder: Path) -> Part | None:
        """Asked when the command ended."""
        return None

    @abstractmethod
    def stored(self, folder: Path) -> list[tuple[str, str]]:
        """URL and hex SHA-256 of the bytes of each image that lies in the folder."""


@dataclass(frozen=True)
class Cost:
    """Seconds of the wall clock and of all processors."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Turn:
    """One run of a client. `whole` is the wall time from the first request on and all CPU time, `single` the same for
    one image, to be taken off (0 where the start is not in `whole`), `start` what came before the first request. `lost`
    counts images that are not stored exactly once with the bytes that were served, and files stored that are none;
    `again` requests for an image that had been asked for before."""

    images: int
    whole: Cost
    single: Cost
    start: Cost
    idle_cpu_s: float | None
    peak_bytes: int
    connections: int
    again: int
    lost: int


def one_turn(client: Client, web: Web, count: int, latency_ms: int, threads: int) -> Turn:
    """Stores photo 0 alone, but for a client that tells the part to be measured, and the photos 0 to count - 1. Raises
    Failed."""
    urls = {web.url(number, latency_ms): number for number in range(count)}
    run = _run(client, web, list(urls), threads)
    wanted = Counter((url, digest(number)) for url, number in urls.items() if fault(number) is None)
    lost = (wanted - run.stored) + (run.stored - wanted)
    return Turn(
        images=wanted.total(),
        whole=run.cost,
        single=_run(client, web, list(urls)[:1], threads).cost if run.part is None else Cost(0, 0),
        start=run.start,
        idle_cpu_s=run.part and run.part.idle_cpu_s * run.cost.wall_s,
        peak_bytes=run.spent.peak_bytes,
        connections=run.asked.connections,
        again=sum(times - 1 for path, times in run.asked.requests.items() if path.endswith(".jpg")),
        lost=lost.total(),
    )


@dataclass(frozen=True)
class _Run:
    spent: Spent
    asked: Asked
    part: Part | None
    stored: Counter[tuple[str, str]]

    @property
    def cost(self) -> Cost:
        if self.part is not None:
            return Cost(*self.spent.between(self.part.start, self.part.end))
        return Cost(self.spent.between(self.asked.first, None)[0], self.spent.between(None, None)[1])

    @property
    def start(self) -> Cost:
        return Cost(*self.spent.between(None, self.part.start if self.part else self.asked.first))


def _run(client: Client, web: Web, urls: Sequence[str], threads: int) -> _Run:
    with tempfile.TemporaryDirectory(prefix="lance-assets-bench-") as name:
        folder = Path(name)
        captions = [f"Photo {number}." for number in range(len(urls))]
        command = client.command(folder, urls, captions, threads)
        web.asked()
        spent = spent_by(command, folder / "log.txt", client.environment, LIMIT_S)
        return _Run(spent, web.asked(), client.part(folder), Counter(client.stored(folder)))
