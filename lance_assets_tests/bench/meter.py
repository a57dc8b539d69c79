"""What an act costs: seconds, bytes read, and bytes of the files that it left, apart for data, ledger and manifests."""

from __future__ import annotations

import cProfile
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from inspect import unwrap
from pathlib import Path
from typing import Any

from lance.dataset import Tags

from lance_assets.store.files import DataRoot
from lance_assets.store.table import commit, open_images

#: Where the time goes that depends on the size of the manifest of images.lance: opening, committing, tagging.
MANIFEST_WORK = tuple(unwrap(act).__code__ for act in (open_images, commit, Tags.create, Tags.update, Tags.delete))
#: What the kernel counts for this process (Linux); `rchar` = bytes that it asked for, from the page cache or not.
COUNTERS = Path("/proc/self/io")


@dataclass(frozen=True)
class Cost:
    """Seconds of wall and CPU clocks and bytes. `manifest_s` is the part of `wall_s` spent in opening and committing
    images.lance, `rest_s` the rest; `manifest_bytes` are its manifests, transactions and tags, `ledger_bytes` all
    of the ledger. `read_bytes` is None where the system does not count."""

    wall_s: float
    rest_s: float
    cpu_s: float
    manifest_s: float
    read_bytes: int | None
    data_bytes: int
    ledger_bytes: int
    manifest_bytes: int


def measured(root: DataRoot, act: Callable[[], object]) -> Cost:
    """Does it once. The profiler that tells the manifest's part costs a few percent."""
    before, profile = set(_files(Path(root.uri))), cProfile.Profile()
    read, cpu, wall = _read_bytes(), time.process_time(), time.perf_counter()
    profile.enable()
    act()
    profile.disable()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    read = None if read is None else (_read_bytes() or 0) - read
    manifest = sum(entry.totaltime for entry in profile.getstats() if entry.code in MANIFEST_WORK)
    sizes = {"data": 0, "ledger": 0, "manifest": 0}
    for name in set(_files(Path(root.uri))) - before:
        sizes[_kind(root, name)] += Path(name).stat().st_size
    return Cost(wall, max(0.0, wall - manifest), cpu, manifest, read, *sizes.values())


def seconds(act: Callable[[], object]) -> float:
    """Wall seconds of one call, without a profiler."""
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
        return "ledger"
    return "data" if name.startswith(f"{root.images}/data/") else "manifest"


def _read_bytes() -> int | None:
    return int(COUNTERS.read_text().split()[1]) if COUNTERS.exists() else None
