"""One task done one way, in a process of its own that tells what the part between the start and the end cost."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lance_assets_tests.bench.label_task import Task, Variant
from lance_assets_tests.bench.label_throttle import COUNTS, carried
from lance_assets_tests.bench.processes import Look, look_closely, spent_by

MODULE = "lance_assets_tests.bench.label_turn"
COST, SCORES, LOG = "cost.json", "scores.npy", "log.txt"
LIMIT_S = 600
#: What the processes of a cluster do after a start, and after a small case, is not part of what comes then.
SETTLE_S = 1.0


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
    spent = spent_by(command, work / LOG, environment, LIMIT_S, look_closely)
    began, ended = (Look(*one) for one in json.loads((work / COST).read_text()))
    peak = max(one.bytes for one in (*spent.looks, began, ended) if began.moment <= one.moment <= ended.moment)
    start = spent.looks[0].moment
    cost = Turn(
        wall_s=ended.moment - began.moment,
        cpu_s=ended.cpu_s - began.cpu_s,
        start_s=began.moment - start,
        start_cpu_s=began.cpu_s,
        read_bytes=ended.read_bytes - began.read_bytes,
        written_bytes=ended.written_bytes - began.written_bytes,
        peak_bytes=peak,
    )
    return cost, np.load(work / SCORES) if (work / SCORES).exists() else None


def linked(source: Path, target: Path) -> None:
    """A copy of a folder that shares its files: Lance never changes one."""
    shutil.copytree(source, target, copy_function=os.link)


def measured(variant: Variant, task: Task) -> tuple[Look, Look]:
    """Looks at this process and all that it started, before and after."""
    began = _look()
    variant.act(task)
    return began, _look()


def _look() -> Look:
    seen = look_closely(os.getpid())
    if where := os.environ.get(COUNTS):
        read, written = carried(where)
        return seen._replace(read_bytes=read, written_bytes=written)
    return seen


def main(module: str, name: str, said: str) -> None:
    """The process."""
    variant: Variant = getattr(importlib.import_module(module), name)()
    task = Task(**json.loads(said))
    variant.start(task)
    try:
        time.sleep(SETTLE_S)
        looks = measured(variant, task)
        scores = variant.scores(task)
    finally:
        variant.stop(task)
    if scores is not None:
        np.save(Path(task.work) / SCORES, scores)
    (Path(task.work) / COST).write_text(json.dumps(looks))


if __name__ == "__main__":
    main(*sys.argv[1:])
