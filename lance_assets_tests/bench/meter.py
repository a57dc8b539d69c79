"""What an act costs: seconds, bytes read, and bytes of the files that it left, apart for data, ledger and manifests."""

from __future__ import annotations

import inspect
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

import lance
from lance.dataset import Tags

from lance_assets.store.files import DataRoot

#: Calls whose time depends on the size of a manifest. Lance's own are watched, since everything goes through them.
MANIFEST_WORK = (
    (lance.LanceDataset, "__init__"),
    (lance.LanceDataset, "commit"),
    (Tags, "create"),
    (Tags, "update"),
    (Tags, "delete"),
)
#: What the kernel counts for this process (Linux); `rchar` = bytes that it asked for, from the page cache or not.
COUNTERS = Path("/proc/self/io")


@dataclass(frozen=True)
class Cost:
    """Seconds of wall and CPU clocks and bytes. `manifest_s` is the part of `wall_s` spent in opening and committing
    images.lance, `rest_s` the rest. Of the bytes written `data_bytes` are data files of images.lance, `ledger_bytes`
    data files of the ledger, `manifest_bytes` all else: manifests, transactions, tags and indices of both. `read_bytes`
    is None where the system does not count."""

    wall_s: float
    rest_s: float
    cpu_s: float
    manifest_s: float
    read_bytes: int | None
    data_bytes: int
    ledger_bytes: int
    manifest_bytes: int


def measured(root: DataRoot, act: Callable[[], object], files: bool = True) -> Cost:
    """Does it once. Without `files` nobody looks what it wrote, which in a large table takes long and empties the
    processor's caches."""
    before = set(_files(Path(root.uri))) if files else set()
    with _manifest_clock(root.images) as spent:
        read, cpu, wall = _read_bytes(), time.process_time(), time.perf_counter()
        act()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    read = None if read is None else (_read_bytes() or 0) - read
    sizes = {"data": 0, "ledger": 0, "manifest": 0}
    for name in set(_files(Path(root.uri))) - before if files else ():
        sizes[_kind(root, name)] += Path(name).stat().st_size
    return Cost(wall, wall - sum(spent), cpu, sum(spent), read, *sizes.values())


@contextmanager
def _manifest_clock(table: str) -> Iterator[list[float]]:
    """Collects the seconds of the calls of MANIFEST_WORK for a table. A profiler would slow down Python, not Lance."""
    spent: list[float] = []
    originals = [inspect.getattr_static(owner, name) for owner, name in MANIFEST_WORK]
    for (owner, name), original in zip(MANIFEST_WORK, originals, strict=True):
        fixed = isinstance(original, staticmethod)
        watched = _watched(original.__func__ if fixed else original, table, spent)
        setattr(owner, name, staticmethod(watched) if fixed else watched)
    try:
        yield spent
    finally:
        for (owner, name), original in zip(MANIFEST_WORK, originals, strict=True):
            setattr(owner, name, original)


def _watched(function: Callable[..., Any], table: str, spent: list[float]) -> Callable[..., Any]:
    name = function.__name__

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            if name != "__init__" or args[1] == table:
                spent.append(time.perf_counter() - started)

    return call


def seconds(act: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def median(costs: Sequence[Cost]) -> Cost:
    """Figure by figure; bytes written as the last one counted them."""
    medians: dict[str, Any] = {}
    for name in ("wall_s", "rest_s", "cpu_s", "manifest_s", "read_bytes"):
        many = [getattr(cost, name) for cost in costs]
        medians[name] = None if None in many else statistics.median(many)
    return replace(costs[-1], **medians)


def _files(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(Path(entry.path))
            else:
                yield entry.path


def _kind(root: DataRoot, name: str) -> str:
    if "/data/" not in name.removeprefix(root.uri):
        return "manifest"
    return "data" if name.startswith(root.images) else "ledger"


def _read_bytes() -> int | None:
    return int(COUNTERS.read_text().split()[1]) if COUNTERS.exists() else None
