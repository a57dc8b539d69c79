"""What a command costs together with all processes that it starts."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from lance_assets_tests.bench.ingest_server import CHECKOUT

#: Seconds between two looks at the processes; each look takes some milliseconds.
LOOK_S = 0.2


class Look(NamedTuple):
    """At a moment of time.monotonic(): CPU seconds of a process and of all that it started (those that ended and were
    waited for included), and the sum of their resident bytes: pages that they share count once for each."""

    moment: float
    cpu_s: float
    bytes: int


@dataclass(frozen=True)
class Spent:
    """Looks at a command, from its beginning (0 CPU seconds) to its end."""

    looks: tuple[Look, ...]

    @property
    def peak_bytes(self) -> int:
        return max(look.bytes for look in self.looks)

    def between(self, start: float | None, end: float | None) -> tuple[float, float]:
        """Wall and CPU seconds between two moments; None = the beginning and the end."""
        moments, cpu = [look.moment for look in self.looks], [look.cpu_s for look in self.looks]
        first, last = moments[0] if start is None else start, moments[-1] if end is None else end
        return last - first, float(np.interp(last, moments, cpu) - np.interp(first, moments, cpu))


class Failed(RuntimeError):
    """A command did not end with 0; the end of its log is in the message."""


def spent_by(
    command: Sequence[str],
    log: Path,
    environment: Mapping[str, str],
    limit_s: float,
    watched: Callable[[int], Look] | None = None,
) -> Spent:
    """Runs a command to its end, output into `log`; `watched` takes the looks (None = `look`). Raises Failed."""
    looks = [Look(time.monotonic(), 0.0, 0)]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(process.pid, over, looks, limit_s, watched or look), daemon=True)
    thread.start()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    end = time.monotonic()
    over.set()
    thread.join()
    if process.returncode:
        lines = log.read_text(errors="replace").splitlines()
        raise Failed(f"{command[0]} ended with {process.returncode}: {' | '.join(lines[-5:])}")
    # The kernel's sum at the end is the exact one, but lacks processes that nobody waited for.
    return Spent((*looks, Look(end, max(usage.ru_utime + usage.ru_stime, looks[-1].cpu_s), 0)))


def look(pid: int) -> Look:
    """Raises psutil.NoSuchProcess."""
    cpu, size = 0.0, 0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            cpu += times.user + times.system + times.children_user + times.children_system
            size += process.memory_info().rss
    return Look(time.monotonic(), cpu, size)


def _watch(pid: int, over: threading.Event, looks: list[Look], limit_s: float, watched: Callable[[int], Look]) -> None:
    """Looks now and then, and kills the process and all that it started when its time is over."""
    with suppress(psutil.NoSuchProcess):
        while not over.wait(LOOK_S):
            seen = watched(pid)
            # a process that is just ending may be missed for a moment
            looks.append(seen._replace(cpu_s=max(seen.cpu_s, looks[-1].cpu_s)))
            if seen.moment - looks[0].moment > limit_s:
                root = psutil.Process(pid)
                for process in (root, *root.children(recursive=True)):
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
