"""Training and evaluation as Ray tasks: a fresh process each, with LLaMA-Factory taught to read Lance by a hook."""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from lance_assets.atomic import write_json
from lance_assets.store.claims import claim
from lance_assets.store.files import DataRoot
from lance_assets.store.table import open_images
from lance_assets.training.evaluate import FORMAT, evaluate
from lance_assets.training.launch import PROGRESS_FILE, prepare, task_environment, train
from lance_assets.training.manifest import read_manifest
from lance_assets.training.recipe import load_recipe
from lance_assets.training.tiny import build_tiny

Report = Callable[[str], None]

#: Beside the weights: what a checkpoint was made of. Its presence says that training ended.
SUMMARY = "lance_assets.json"
MANIFEST = "manifest.json"
EVALUATION = "evaluation.json"
LATEST = "latest.json"

#: As `model_name_or_path` in a recipe: the tiny Qwen2.5-VL that is built here.
TINY = "tiny"
TINY_CAPTIONS = 500


@dataclass(frozen=True)
class Places:
    """Where models and checkpoints of a home lie."""

    models: Path
    checkpoints: Path


def fine_tune(
    manifest: dict[str, Any], recipe_name: str, places: Places, run_id: str, report: Report, force: bool = False
) -> dict[str, Any]:
    """Trains on the rows of the manifest and returns the checkpoint's summary, also stored beside its weights.

    The folder is named by manifest and recipe: the same rows and recipe are not trained on twice, unless forced (then
    beside the earlier checkpoint, never over it).
    Raises BadInput for an unusable recipe.
    """
    recipe = load_recipe(recipe_name)
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    out = places.checkpoints / (f"{manifest['tag']}-{digest[:8]}" + (f"-{run_id[:8]}" if force else ""))
    with claim(DataRoot(places.checkpoints), out.name):
        summary = None if force else read_summary(out / "model")
        if summary is None:
            summary = _train_anew(manifest, recipe, digest, places, out, run_id, report)
        else:
            report(f"{out.name} exists: same rows, same recipe")
        write_json(places.checkpoints / LATEST, summary)
    return summary


def _train_anew(
    manifest: dict[str, Any],
    recipe: dict[str, Any],
    digest: str,
    places: Places,
    out: Path,
    run_id: str,
    report: Report,
) -> dict[str, Any]:
    if out.exists():  # what a killed training left; a finished one has its summary and never comes here
        shutil.rmtree(out)
    base = base_model(recipe, manifest, places.models, report)
    arguments = prepare(manifest, recipe, Path(base), out)
    report(f"training on {manifest['rows']['train']} rows of {manifest['tag']} (Lance version {manifest['version']})")
    trained = _watched(_task(train, arguments, offline=Path(base).exists()), out / "model" / PROGRESS_FILE, report)
    summary = {
        "path": trained.pop("checkpoint"),
        "base": str(base),
        "manifest_sha256": manifest["sha256"],
        "tag": manifest["tag"],
        "recipe_sha256": digest,
        "run_id": run_id,
        **trained,
    }
    write_json(out / "model" / MANIFEST, manifest)
    write_json(out / "model" / "recipe.json", recipe)
    write_json(out / "model" / SUMMARY, summary)
    return summary


def assess(
    manifest: dict[str, Any],
    summary: dict[str, Any],
    limit: int,
    facts: Mapping[str, Mapping[str, str]],
    report: Report,
    force: bool = False,
) -> dict[str, Any]:
    """Evaluates the tuned checkpoint against its base, and against the one evaluated before it, on held-out rows;
    stored beside the weights. `facts` are expressions by source id."""
    tuned = Path(summary["path"])
    done = evaluation_of(summary)
    if not force and done and done.get("format") == FORMAT:
        report(f"{tuned.parent.name} is evaluated already")
        return done
    report(f"evaluating on {min(limit, manifest['rows']['test'])} of {manifest['rows']['test']} held-out rows")
    base, before = Path(summary["base"]), _evaluated_before(tuned)
    task = _task(evaluate, manifest, base, tuned, limit, 0, facts, before, offline=base.exists())
    result: dict[str, Any] = ray.get(task)
    write_json(tuned / EVALUATION, result)
    return result


def _evaluated_before(tuned: Path) -> Path | None:
    """The checkpoint that was evaluated last, another than this one; None where there is none."""
    others = [file for file in tuned.parent.parent.glob(f"*/{tuned.name}/{EVALUATION}") if file.parent != tuned]
    return max(others, key=lambda file: file.stat().st_mtime).parent if others else None


def read_summary(checkpoint: Path) -> dict[str, Any] | None:
    """The summary of a finished checkpoint; None where training never ended."""
    path = checkpoint / SUMMARY
    return json.loads(path.read_text()) if path.exists() else None


def latest_checkpoint(places: Places) -> dict[str, Any] | None:
    """The summary of the checkpoint that was materialized last; None before the first."""
    path = places.checkpoints / LATEST
    return json.loads(path.read_text()) if path.exists() else None


def manifest_of(summary: dict[str, Any]) -> dict[str, Any]:
    """The training set that a checkpoint saw. Raises BadInput when its manifest is gone or damaged."""
    return read_manifest(Path(summary["path"]) / MANIFEST)


def evaluation_of(summary: dict[str, Any]) -> dict[str, Any] | None:
    """What the evaluation of a checkpoint said; None before it."""
    path = Path(summary["path"]) / EVALUATION
    return json.loads(path.read_text()) if path.exists() else None


def base_model(recipe: dict[str, Any], manifest: dict[str, Any], models: Path, report: Report) -> str:
    """The model that the recipe starts from; `tiny` is built here once, its tokenizer from the training captions."""
    name = recipe.get("model_name_or_path", TINY)
    if name != TINY:
        return name
    folder = models / TINY
    with claim(DataRoot(models), TINY):
        if not folder.exists():
            report("building the tiny Qwen2.5-VL")
            draft = models / f".{TINY}-{uuid.uuid4().hex}"
            ray.get(_task(build_tiny, draft, _captions(manifest)))
            draft.rename(folder)
    return str(folder)


def _captions(manifest: dict[str, Any]) -> Sequence[str]:
    dataset = open_images(DataRoot(manifest["uri"].rpartition("/")[0]), manifest["tag"])
    rows = dataset.to_table(columns=["id", "messages"], filter=manifest["train"]).sort_by("id")
    return [messages[-1]["content"] for messages in rows["messages"].slice(0, TINY_CAPTIONS).to_pylist()]


def _task(function: Callable[..., Any], *arguments: Any, offline: bool = True) -> Any:
    """Starts a Ray task in a process of its own: torch and the hook stay out of the label workers."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = max(int(node.get("CPU", 0)) for node in nodes) or 1
    gpus = min(1, int(ray.cluster_resources().get("GPU", 0)))
    task = ray.remote(num_cpus=cpus if not gpus else 1, num_gpus=gpus, max_calls=1, max_retries=0)(function)
    environment = {**task_environment(offline), "OMP_NUM_THREADS": str(cpus)}
    return task.options(runtime_env={"env_vars": environment}).remote(*arguments)


def _watched(future: Any, log: Path, report: Report) -> Any:
    """Waits for training and repeats LLaMA-Factory's own log, the newest line at a time."""
    told = ""
    while not ray.wait([future], timeout=5)[0]:
        lines = log.read_text().splitlines() if log.exists() else []
        if lines and lines[-1] != told and lines[-1].endswith("}"):
            told = lines[-1]
            line = json.loads(told)
            step = f"step {line['current_steps']}/{line['total_steps']}"
            report(f"{step}, loss {line.get('loss')}, {line['remaining_time']} left")
    return ray.get(future)
