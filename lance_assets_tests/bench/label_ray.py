"""The Ray of `bench label`: one head, which is up before anything is measured, for all who want one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lance_assets_tests.bench.label_task import Task

CORES = 2
#: Blocks of Ray Data lie in memory that its processes share. Ours keep images out of it and get by with an eighth.
OBJECTS = 4 * 1024**3


@dataclass(frozen=True)
class Cluster:
    """`pid` is that of its head (None: somebody else's, which is not measured)."""

    address: str
    pid: int | None = None


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A head of its own."""
    from lance_assets.compute.head import start_head, stop_head

    record = folder / "ray.json"
    head = start_head(record, CORES, folder / "ray.log", OBJECTS)
    try:
        yield Cluster(head.address, head.pid)
    finally:
        stop_head(record)


def join(task: Task) -> None:
    """Connects this process to the task's cluster."""
    from lance_assets.compute.cluster import RayCluster

    RayCluster(address=task.ray).connect(None)
