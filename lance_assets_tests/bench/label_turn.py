"""One task done one way, in a process of its own that tells what the part between the start and the end cost."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lance_assets_tests.bench.label_count import Count, Used, Watch, count
from lance_assets_tests.bench.label_task import Task, Variant
from lance_assets_tests.bench.label_throttle import COUNTS, carried
from lance_assets_tests.bench.processes import spent_by

MODULE = "lance_assets_tests.bench.label_turn"
COST, SCORES, LOG = "cost.json", "scores.npy", "log.txt"
LIMIT_S = 600
#: What the processes of a cluster still do after a start, and after a small case, is not part of what comes then.
SETTLE_S = 1.0
PIECE = 1 << 20


@dataclass(frozen=True)
class Turn:
    """What a variant took between start and end, by all its processes; `start_s` and `start_cpu_s` came before. Bytes
    are those of files, or of the connections to the object store."""

    wall_s: float
    cpu_s: float
    start_s: float
    start_cpu_s: float
    read_bytes: int
    written_bytes: int
    peak_bytes: int


def turn(variant: Variant, task: Task, environment: Mapping[str, str]) -> tuple[Turn, NDArray[np.float32] | None]:
    """Does it once; the scores are those that were stored. Raises Failed."""
    work = Path(task.work)
    command = [sys.executable, "-m", MODULE, type(variant).__module__, type(variant).__name__, task.as_json()]
    watch, first = Watch(task.others), count(task.others)
    spent = spent_by(command, work / LOG, environment, LIMIT_S, watch)
    said = json.loads((work / COST).read_text())
    began, ended = (_read(one) for one in said["counts"])
    used, start = watch.between(began, ended), watch.between(first, began)
    read, written = said["carried"] or (used.read_bytes, used.written_bytes)
    cost = Turn(
        wall_s=ended.moment - began.moment,
        cpu_s=used.cpu_s,
        start_s=began.moment - spent.looks[0].moment,
        start_cpu_s=start.cpu_s,
        read_bytes=read,
        written_bytes=written,
        peak_bytes=max(
            [began.bytes, ended.bytes, *(one.bytes for one in spent.looks if began.moment < one.moment < ended.moment)]
        ),
    )
    return cost, np.load(work / SCORES) if (work / SCORES).exists() else None


def _read(said: dict[str, Any]) -> Count:
    return Count(said["moment"], {int(pid): Used(**used) for pid, used in said["used"].items()}, said["bytes"])


def _into_page_cache(folder: Path) -> None:
    """What is read has been read before, however long ago it was written. Nothing where it lies in a bucket."""
    for file in folder.iterdir() if folder.is_dir() else ():
        with file.open("rb", buffering=0) as stream:
            while stream.read(PIECE):
                pass


def main(module: str, name: str, said: str) -> None:
    """The process."""
    variant: Variant = getattr(importlib.import_module(module), name)()
    task = Task(**json.loads(said))
    roots, counts = [os.getpid(), *task.others], os.environ.get(COUNTS)
    variant.start(task)
    try:
        time.sleep(SETTLE_S)
        _into_page_cache(Path(task.source) / variant.reads)
        before, began = carried(counts) if counts else (0, 0), count(roots)
        variant.act(task)
        ended, after = count(roots), carried(counts) if counts else (0, 0)
        scores = variant.scores(task)
    finally:
        variant.stop(task)
    if scores is not None:
        np.save(Path(task.work) / SCORES, scores)
    moved = [after[0] - before[0], after[1] - before[1]] if counts else None
    (Path(task.work) / COST).write_text(json.dumps({"counts": [asdict(began), asdict(ended)], "carried": moved}))


if __name__ == "__main__":
    main(*sys.argv[1:])
