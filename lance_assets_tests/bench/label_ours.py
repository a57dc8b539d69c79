"""This platform labelling: in this process, on Ray, through Dagster."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from lance_assets.compute.label import Runner, label
from lance_assets.scoring.api import Scorer
from lance_assets.store.files import DataRoot
from lance_assets_tests.bench.label_plain import lance_scores
from lance_assets_tests.bench.label_ray import join
from lance_assets_tests.bench.label_scorers import SCORERS
from lance_assets_tests.bench.label_task import Task, Variant


class InProcess(Variant):
    name = "ours, in process"

    def start(self, task: Task) -> None:
        from lance_assets.compute.in_process import in_process

        self.runner: Runner = in_process

    def act(self, task: Task) -> None:
        _label(task, f"{task.place}/platform", task.batches, self.runner)

    def scores(self, task: Task) -> NDArray[np.float32]:
        return lance_scores(f"{task.place}/platform/images.lance", f"score_{task.column}")


class OnRay(InProcess):
    """A Ray that is up, and whose workers have labelled before."""

    name, on_ray = "ours, on Ray", True

    def start(self, task: Task) -> None:
        from lance_assets.compute.on_ray import on_ray

        self.runner = on_ray
        join(task)
        warm(task)


class ThroughDagster(InProcess):
    """A run of the platform's own definitions on the instance of a home of its own, as `lance-assets run` has it."""

    name, on_ray = "ours, through Dagster", True

    def start(self, task: Task) -> None:
        from lance_assets.cli.runs import execute, open_instance
        from lance_assets.partitions import PARTITIONS
        from lance_assets.settings import Home

        join(task)
        home = Home(Path(task.work) / "home", Path(task.place) / "platform")
        home.create()
        own = {"name": task.column, "uses": f"{SCORERS[task.scorer].__module__}:{SCORERS[task.scorer].__name__}"}
        home.platform_yaml.write_text(yaml.safe_dump({"scorers": [own], "ray": {"address": task.ray}}))
        os.environ["LANCE_ASSETS_ROOT"] = str(home.data)
        self.instance, self.execute = open_instance(home), execute
        self.instance.add_dynamic_partitions(PARTITIONS, list(task.batches))
        importlib.import_module("lance_assets.definitions")  # reads the home's platform.yaml
        warm(task)

    def act(self, task: Task) -> None:
        from lance_assets.assets.scores import score_key

        run = self.execute(self.instance, [score_key(task.column)], (task.batches[0], task.batches[-1]), {})
        if not run.is_success:
            from lance_assets.automation.failed_steps import failures

            raise RuntimeError("; ".join(failures(self.instance, run.run_id)))


def warm(task: Task) -> None:
    """Labels the small case, so that every core has a worker that has imported what it needs."""
    from lance_assets.compute.on_ray import on_ray
    from lance_assets.store.table import open_images

    root = f"{task.warm}/platform"
    batches = open_images(DataRoot(root)).to_table(columns=["batch"])["batch"].unique().to_pylist()
    _label(task, root, batches, on_ray)


def _label(task: Task, root: str, batches: Sequence[str], runner: Runner) -> None:
    for done in label(DataRoot(root), batches, {task.column: _scorer(task)}, "bench", print, runner=runner):
        if done.failure:
            raise RuntimeError(done.failure)


def _scorer(task: Task) -> Scorer:
    scorer = SCORERS[task.scorer]()
    scorer.name = task.column
    return scorer
