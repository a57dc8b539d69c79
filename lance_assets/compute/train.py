"""Training and evaluation as Ray tasks: a fresh process each, with LLaMA-Factory taught to read Lance by a hook."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray

from lance_assets.atomic import write_json
from lance_assets.errors import BadInput
from lance_assets.settings import SourceEntry
from lance_assets.training import artifacts, tune
from lance_assets.training.environment import THREADS
from lance_assets.training.evaluate import FORMAT, evaluate
from lance_assets.training.facts import DEMO
from lance_assets.training.folder import EVALUATION, MANIFEST, digests, model_digest
from lance_assets.training.launch import task_environment
from lance_assets.training.manifest import read_manifest
from lance_assets.training.trust import BLOCKING, CHECKS
from lance_assets.training.tune import Order, Places, Report, latest_checkpoint, recipe_sha256, watched

__all__ = [
    "BLOCKING",
    "CHECKS",
    "Order",
    "Places",
    "Report",
    "assess",
    "evaluation_of",
    "fine_tune",
    "known_facts",
    "latest_checkpoint",
    "manifest_of",
    "merged",
    "recipe_sha256",
]


@dataclass(frozen=True)
class RayTask:
    """Runs functions as tune.Run describes: torch and the hook stay out of the label workers."""

    report: Report

    def __call__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        offline: bool = True,
        gpus: int | None = None,
        watch: Path | None = None,
    ) -> Any:
        """Raises BadInput where no node has so many GPUs, and what the function raises."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus = max(int(node.get("CPU", 0)) for node in nodes) or 1
        most = max(int(node.get("GPU", 0)) for node in nodes)
        if gpus is not None and gpus > most:
            raise BadInput(f"{gpus} GPUs are asked for, and no node of the Ray cluster has more than {most}")
        wanted = min(1, most) if gpus is None else gpus
        task = ray.remote(num_cpus=1 if wanted else cpus, num_gpus=wanted, max_calls=1, max_retries=0)(function)
        environment = {**task_environment(offline), THREADS: str(cpus)}
        future = task.options(runtime_env={"env_vars": environment}).remote(*arguments)
        if watch is not None:
            watched(lambda seconds: bool(ray.wait([future], timeout=seconds)[0]), watch, self.report)
        return ray.get(future)


def fine_tune(
    manifest: dict[str, Any], order: Order, places: Places, run_id: str, report: Report, force: bool = False
) -> dict[str, Any]:
    """As tune.fine_tune, on Ray; the checkpoint becomes the latest one."""
    summary = tune.fine_tune(manifest, order, places, RayTask(report), run_id, report, force)
    tune.set_latest(places, summary)
    return summary


def merged(summary: dict[str, Any], places: Places, report: Report) -> tuple[Path, dict[str, str]]:
    """As tune.merged, on Ray, and the digests of the model's files. Merging is done on the CPU, so it takes no GPU from
    a training."""
    path = tune.merged(summary, places, partial(RayTask(report), gpus=0), report)
    return path, digests(path)


def assess(
    manifest: dict[str, Any],
    summary: dict[str, Any],
    limit: int,
    facts: Mapping[str, Mapping[str, str]],
    report: Report,
    force: bool = False,
) -> dict[str, Any]:
    """Evaluates the tuned checkpoint against its base, and against the one evaluated before it, on held-out rows;
    stored beside the weights, with what was `asked`: another question, or other weights, are evaluated again. `facts`
    are expressions by source id."""
    tuned = Path(summary["path"])
    asked = {"limit": limit, "facts": {source: dict(said) for source, said in facts.items()}}
    asked |= {"model": model_digest(tuned)}
    done = evaluation_of(summary)
    if not force and done and (done.get("format"), done.get("asked")) == (FORMAT, asked):
        report(f"{tuned.parent.name} is evaluated already")
        return done
    report(f"evaluating on {min(limit, manifest['rows']['test'])} of {manifest['rows']['test']} held-out rows")
    base, before = Path(summary["base"]), _evaluated_before(tuned)
    result: dict[str, Any] = RayTask(report)(
        evaluate, manifest, base, tuned, limit, 0, facts, before, offline=base.exists()
    )
    result["asked"] = asked
    write_json(tuned / EVALUATION, result)
    return result


def known_facts(sources: Sequence[SourceEntry]) -> dict[str, dict[str, str]]:
    """What the captions of each source state: expressions of platform.yaml; those of the demo are known."""
    return {
        source.id: dict(source.facts if source.facts is not None else DEMO if source.spec == "demo" else {})
        for source in sources
    }


def _evaluated_before(tuned: Path) -> Path | None:
    """The checkpoint that was evaluated last, another than this one; None where there is none."""
    others = [file for file in tuned.parent.parent.glob(f"*/{tuned.name}/{EVALUATION}") if file.parent != tuned]
    return max(others, key=lambda file: file.stat().st_mtime).parent if others else None


def manifest_of(summary: dict[str, Any]) -> dict[str, Any]:
    """The training set that a checkpoint saw. Raises BadInput when its manifest is gone or damaged."""
    return read_manifest(Path(summary["path"]) / MANIFEST)


def evaluation_of(summary: dict[str, Any]) -> dict[str, Any] | None:
    """As artifacts.evaluation_of."""
    return artifacts.evaluation_of(Path(summary["path"]))
