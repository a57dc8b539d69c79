"""What processes have used so far, counted one by one: a Ray worker that ends takes its figures with it, since nobody
waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from lance_assets_tests.bench.processes import Look


@dataclass(frozen=True)
class Used:
    """CPU seconds, and bytes that were asked of files and given to files, from the page cache or not."""

    cpu_s: float
    read_bytes: int
    written_bytes: int


@dataclass
class Count:
    """A look at some processes and all that they started, at a moment of time.monotonic(). A page of memory that some
    processes share counts in parts (PSS). Linux only."""

    moment: float
    used: dict[int, Used] = field(default_factory=dict)
    bytes: int = 0


def count(roots: Sequence[int]) -> Count:
    """Those that end meanwhile are left out."""
    found = Count(time.monotonic())
    for process in _all(roots):
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            times, folder = process.cpu_times(), Path(f"/proc/{process.pid}")
            files = dict(line.split(": ") for line in (folder / "io").read_text().splitlines())
            found.bytes += _proportional((folder / "smaps_rollup").read_text())
            found.used[process.pid] = Used(times.user + times.system, int(files["rchar"]), int(files["wchar"]))
    return found


def _all(roots: Sequence[int]) -> Iterator[psutil.Process]:
    for pid in roots:
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            yield from (root, *root.children(recursive=True))


def _proportional(said: str) -> int:
    return next((int(line.split()[1]) * 1024 for line in said.splitlines() if line.startswith("Pss:")), 0)


class Watch:
    """Looks at a command, and at processes that serve it, as spent_by has it; keeps what each process had used when it
    was seen last."""

    def __init__(self, others: Sequence[int]) -> None:
        self.others = others
        self.last: dict[int, tuple[float, Used]] = {}

    def __call__(self, pid: int) -> Look:
        seen = count([pid, *self.others])
        self.last |= {one: (seen.moment, used) for one, used in seen.used.items()}
        return Look(seen.moment, sum(used.cpu_s for used in seen.used.values()), seen.bytes)

    def between(self, began: Count, ended: Count) -> Used:
        """By all processes; those that ended in between as they were seen last."""
        gone = {pid: used for pid, (moment, used) in self.last.items() if moment >= began.moment}
        nothing, total = Used(0.0, 0, 0), Used(0.0, 0, 0)
        for pid, after in {**gone, **ended.used}.items():
            before = began.used.get(pid, nothing)
            total = Used(
                total.cpu_s + after.cpu_s - before.cpu_s,
                total.read_bytes + after.read_bytes - before.read_bytes,
                total.written_bytes + after.written_bytes - before.written_bytes,
            )
        return total
