"""What an act costs: seconds, bytes read, and bytes of the files that it left, apart for data, ledger and manifests."""

from __future__ import annotations

import inspect
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
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
    images.lance, `rest_s` the rest; `manifest_bytes` are its manifests, transactions and tags, `ledger_bytes` all of
    the ledger. `read_bytes` is None where the system does not count."""

    wall_s: float
    rest_s: float
    cpu_s: float
    manifest_s: float
    read_bytes: int | None
    data_bytes: int = 0
    ledger_bytes: int = 0
    manifest_bytes: int = 0


def measured(root: DataRoot, act: Callable[[], object]) -> Cost:
    """Does it once."""
    before = set(_files(Path(root.uri)))
    cost = timed(root, act)
    sizes = {"data_bytes": 0, "ledger_bytes": 0, "manifest_bytes": 0}
    for name in set(_files(Path(root.uri))) - before:
        sizes[_kind(root, name)] += Path(name).stat().st_size
    return replace(cost, **sizes)


def timed(root: DataRoot, act: Callable[[], object]) -> Cost:
    """Does it once and does not look for files, which takes long in a large table and empties the processor's caches."""
    with _manifest_clock(root.images) as spent:
        read, cpu, wall = _read_bytes(), time.process_time(), time.perf_counter()
        act()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    read = None if read is None else (_read_bytes() or 0) - read
    return Cost(wall, wall - sum(spent), cpu, sum(spent), read)


@contextmanager
def _manifest_clock(table: str) -> Iterator[list[float]]:
    """Collects the seconds of each call of MANIFEST_WORK for one table. A profiler would
    slow down Python, not Lance."""
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
    """Field by field."""
    values: dict[str, Any] = {}
    for field in fields(Cost):
        many = [getattr(cost, field.name) for cost in costs]
        values[field.name] = None if None in many else statistics.median(many)
    return Cost(**values)


def _files(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from _files(Path(entry.path))
            else:
                yield entry.path


def _kind(root: DataRoot, name: str) -> str:
    if not name.startswith(f"{root.images}/"):
        return "ledger_bytes"
    return "data_bytes" if name.startswith(f"{root.images}/data/") else "manifest_bytes"


def _read_bytes() -> int | None:
    return int(COUNTERS.read_text().split()[1]) if COUNTERS.exists() else None
