"""Starts LLaMA-Factory on a training set: writes its dataset_info.json, runs it, and reports what it did."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from lance_assets.errors import BadInput, MissingExtra
from lance_assets.training import finder
from lance_assets.training.manifest import check_manifest, side
from lance_assets.training.stats import VARIABLE, read_stats

HOOK = Path(__file__).parent / "hook"
#: LLaMA-Factory appends one JSON line per logging step to it: current_steps, total_steps, loss, percentage,
#: remaining_time. A caller that wants progress tails <output_dir>/trainer_log.jsonl.
PROGRESS_FILE = "trainer_log.jsonl"
#: What the checkpoint was trained with, beside it.
ARGUMENTS_FILE = "train_args.json"
STATS_FILE = "reader_stats.jsonl"

#: How a table of the platform is read: sharegpt with tags, since formatting "openai" adds a system prompt of its own.
ENTRY = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "image"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}


def task_environment(offline: bool = True) -> dict[str, str]:
    """Environment of the process that calls `train`, and of any process that runs llamafactory-cli.

    `offline` forbids transformers the hub: right for a base model that lies in a folder, wrong for one named by its id.
    The hook folder is put before what PYTHONPATH holds already. USE_RAY=0: LLaMA-Factory's own Ray support asks for
    ten CPUs and waits for ever on a small machine.
    """
    before = os.environ.get("PYTHONPATH", "")
    return {
        "PYTHONPATH": os.pathsep.join([str(HOOK), *([before] if before else [])]),
        "USE_RAY": "0",
        **({"HF_HUB_OFFLINE": "1"} if offline else {}),
        "TOKENIZERS_PARALLELISM": "false",
        # threads that spin while they wait cost five times the wall time as soon as something else wants the cores
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def prepare(manifest: dict[str, Any], recipe: dict[str, Any], base: Path, out: Path) -> dict[str, Any]:
    """Writes <out>/dataset/dataset_info.json (entries train and eval) and returns LLaMA-Factory's arguments.

    The model is `base`, the checkpoint goes to <out>/model. The held-out rows are used during training only where the
    recipe sets do_eval or eval_strategy. Raises BadInput for a manifest without rows to train on.
    """
    manifest = check_manifest(manifest)
    if not manifest["rows"].get("train"):
        raise BadInput(f"the training set {manifest.get('tag', '')} has no row to train on")
    folder = out.absolute() / "dataset"
    folder.mkdir(parents=True, exist_ok=True)
    entries = {"train": side(manifest, "train"), "eval": side(manifest, "test")}
    info = {name: {"lance": vars(source), **ENTRY} for name, source in entries.items()}
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    arguments = recipe | {
        "model_name_or_path": str(base),
        "dataset_dir": str(folder),
        "dataset": "train",
        "output_dir": str(out.absolute() / "model"),
    }
    evaluates = recipe.get("do_eval") or recipe.get("eval_strategy", "no") not in ("no", False)
    return arguments | ({"eval_dataset": "eval"} if evaluates else {})


def train(args: dict[str, Any]) -> dict[str, Any]:
    """Runs LLaMA-Factory in this process, which should be a fresh one with `task_environment`.

    Returns {"loss_first", "loss_last", "curve": [{"step", "loss"}], "steps", "seconds", "checkpoint", "reader"}; a loss
    is the mean over `logging_steps` steps, seconds are wall time, imports included. Raises BadInput, MissingExtra, and
    whatever LLaMA-Factory raises.
    """
    started = time.monotonic()
    output = Path(args["output_dir"])
    output.mkdir(parents=True, exist_ok=True)
    (output / ARGUMENTS_FILE).write_text(json.dumps(args, indent=2) + "\n", encoding="utf-8")
    record = output / STATS_FILE
    for stale in (record, output / PROGRESS_FILE):
        stale.unlink(missing_ok=True)
    os.environ.update({VARIABLE: str(record), "USE_RAY": "0"})
    finder.install()
    try:
        from llamafactory.train.tuner import run_exp
    except ImportError as error:
        raise MissingExtra("llamafactory", "train", "training") from error
    run_exp(args)
    # a pickle, and all that it says stands in ARGUMENTS_FILE: nobody should have to unpickle a checkpoint
    (output / "training_args.bin").unlink(missing_ok=True)
    curve = read_curve(output)
    if not curve:
        raise RuntimeError(f"LLaMA-Factory logged no loss in {output / PROGRESS_FILE}")
    return {
        "loss_first": curve[0]["loss"],
        "loss_last": curve[-1]["loss"],
        "curve": curve,
        "steps": curve[-1]["step"],
        "seconds": round(time.monotonic() - started, 2),
        "checkpoint": str(output),
        "reader": read_stats(record),
    }


def read_curve(output: Path) -> list[dict[str, Any]]:
    """The losses logged so far, in order: [{"step": int, "loss": float}]. Empty before the first."""
    path = output / PROGRESS_FILE
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [{"step": line["current_steps"], "loss": line["loss"]} for line in lines if "loss" in line]
