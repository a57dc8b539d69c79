"""One fine-tuning from manifest and recipe to a finished checkpoint folder; where it runs is the caller's matter."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lance_assets.atomic import write_json
from lance_assets.store.claims import claim
from lance_assets.store.files import DataRoot
from lance_assets.training import rows
from lance_assets.training.artifacts import latest
from lance_assets.training.device import Chosen
from lance_assets.training.folder import LATEST, RECIPE, finish, model_digest, read_summary
from lance_assets.training.launch import prepare, train
from lance_assets.training.manifest import side
from lance_assets.training.merge import merge, model_of
from lance_assets.training.recipe import load_recipe
from lance_assets.training.resume import drop_leftovers, last_step, read_log, read_result
from lance_assets.training.tiny import build_tiny

Report = Callable[[str], None]

#: As `model_name_or_path` in a recipe: the tiny Qwen2.5-VL that is built here.
TINY = "tiny"
TINY_CAPTIONS = 500


class Run(Protocol):
    """Calls a function of this room in a fresh process with launch.task_environment and returns what it returned.

    `gpus` of one node (None = one, if there is one). With `watch`, progress of the training there is reported.
    """

    def __call__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        offline: bool = True,
        gpus: int | None = None,
        watch: Path | None = None,
    ) -> Any: ...


@dataclass(frozen=True)
class Places:
    """Where models and checkpoints of a home lie."""

    models: Path
    checkpoints: Path


@dataclass(frozen=True)
class Order:
    """What to train: a recipe by name or file, keys of it that are replaced, and GPUs (see Run)."""

    recipe: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    gpus: int | None = None


def fine_tune(
    manifest: dict[str, Any],
    order: Order,
    places: Places,
    run: Run,
    run_id: str,
    report: Report,
    force: bool = False,
) -> dict[str, Any]:
    """Trains on the rows of the manifest and returns the checkpoint's summary, also stored beside its weights.

    The folder is named by manifest and recipe: the same rows and recipe are not trained on twice, unless forced (then
    beside the earlier checkpoint, never over it), and a training that was killed goes on from its last saved step.
    Raises BadInput for an unusable recipe.
    """
    recipe = load_recipe(order.recipe, order.overrides)
    digest = recipe_sha256(recipe)
    out = places.checkpoints / (f"{manifest['tag']}-{digest[:8]}" + (f"-{run_id[:8]}" if force else ""))
    with claim(DataRoot(places.checkpoints), out.name):
        summary = None if force else read_summary(out / "model")
        if summary is not None:
            report(f"{out.name} exists: same rows, same recipe")
            drop_leftovers(out / "model")  # should we have died before we did
            return summary
        base = base_model(recipe, manifest, places.models, run, report)
        return train_into(out, manifest, recipe, base, run, run_id, report, order.gpus)


def train_into(
    out: Path,
    manifest: dict[str, Any],
    recipe: dict[str, Any],
    base: str,
    run: Run,
    run_id: str,
    report: Report,
    gpus: int | None = None,
    again: Chosen | None = None,
) -> dict[str, Any]:
    """Trains, or goes on training, in the folder `out`; the checkpoint is <out>/model. Returns its summary. `again` is
    what an earlier training chose for its machine, to be repeated on this one."""
    output = out / "model"
    arguments, processes = prepare(manifest, recipe, Path(base), out), None
    if again is not None:
        arguments, processes, gpus = {**again["arguments"], **arguments}, again["processes"], again["gpus"]
    report(f"training on {manifest['rows']['train']} rows of {manifest['tag']} (Lance version {manifest['version']})")
    if read_result(output) is not None:
        report("the training itself ended before; what is written beside its weights was not complete")
    elif (step := last_step(output)) is not None:
        report(f"resuming from step {step}, the last one that a killed training had saved")
    trained = run(train, arguments, processes, gpus, offline=Path(base).exists(), gpus=gpus, watch=output)
    environment = trained.pop("environment")
    if again is not None:
        trained["chosen"] = {**trained["chosen"], "arguments": again["arguments"]}
    summary = {
        "path": trained.pop("checkpoint"),
        "base": base,
        "base_sha256": model_digest(Path(base)),
        "manifest_sha256": manifest["sha256"],
        "tag": manifest["tag"],
        "recipe_sha256": recipe_sha256(recipe),
        "run_id": run_id,
        **trained,
    }
    return finish(output, manifest, recipe, environment, summary)


def recipe_sha256(recipe: Mapping[str, Any]) -> str:
    """SHA-256 over keys and values, in whatever order the file has them."""
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def base_model(recipe: Mapping[str, Any], manifest: dict[str, Any], models: Path, run: Run, report: Report) -> str:
    """The model that the recipe starts from; `tiny` is built here once, its tokenizer from the training captions."""
    name = recipe.get("model_name_or_path", TINY)
    if name != TINY:
        return name
    folder = models / TINY
    with claim(DataRoot(models), TINY):
        if not folder.exists():
            report("building the tiny Qwen2.5-VL")
            draft = models / f".{TINY}-{uuid.uuid4().hex}"
            run(build_tiny, draft, captions(manifest))
            draft.rename(folder)
    return str(folder)


def captions(manifest: dict[str, Any]) -> list[str]:
    """Answers of the training rows, the first ones by id."""
    table = rows.scan(side(manifest, "train"), ["id", "messages"])[0].sort_by("id")
    return [messages[-1]["content"] for messages in table["messages"].slice(0, TINY_CAPTIONS).to_pylist()]


def merged(summary: dict[str, Any], places: Places, run: Run, report: Report) -> Path:
    """The checkpoint as a model of its own: its adapter merged into the base, once; a model that was trained in full
    already is one."""
    tuned = Path(summary["path"])
    into = model_of(tuned)
    if into == tuned:
        report(f"{tuned.parent.name} was trained in full: nothing to merge")
        return tuned
    with claim(DataRoot(places.checkpoints), f"{tuned.parent.name}-merged"):
        if not into.exists():
            template = json.loads((tuned / RECIPE).read_text())["template"]
            draft = into.with_name(f".merged-{uuid.uuid4().hex}")
            run(merge, summary["base"], tuned, template, draft, offline=Path(summary["base"]).exists())
            draft.rename(into)
    return into


def set_latest(places: Places, summary: dict[str, Any]) -> None:
    """From now on this is the checkpoint that evaluation and others take."""
    write_json(places.checkpoints / LATEST, summary)


def latest_checkpoint(places: Places) -> dict[str, Any] | None:
    """As artifacts.latest."""
    return latest(places.checkpoints)


def watched(wait: Callable[[float], bool], output: Path, report: Report) -> None:
    """Until `wait(seconds)` says that training is over: repeats LLaMA-Factory's own log, the newest line at a time."""
    told: dict[str, Any] = {}
    while not wait(5.0):
        lines = read_log(output)
        if lines and lines[-1] != told:
            told = lines[-1]
            report(progress(told))


def progress(line: Mapping[str, Any]) -> str:
    """A line of LLaMA-Factory's log for people."""
    parts = [f"step {line['current_steps']}/{line['total_steps']}"]
    parts += [f"loss {line['loss']}"] if "loss" in line else []
    parts += [f"learning rate {line['lr']:.2e}"] if "lr" in line else []
    parts += [f"{line['throughput']:.0f} tokens/s"] if "throughput" in line else []
    return ", ".join([*parts, f"{line['remaining_time']} left"])
