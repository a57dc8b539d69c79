"""Starts LLaMA-Factory on a training set: writes its dataset_info.json, runs it, and reports what it did."""

from __future__ import annotations

import json
import os
import sys
import time
from importlib import util
from pathlib import Path
from typing import Any

from lance_assets.errors import BadInput, MissingExtra
from lance_assets.store.claims import claim
from lance_assets.store.files import DataRoot
from lance_assets.training import finder, ranks
from lance_assets.training.device import Chosen, find_device, fit
from lance_assets.training.environment import environment
from lance_assets.training.manifest import check_manifest, side
from lance_assets.training.ranks import run_ranks
from lance_assets.training.resume import checkpoint_folder, keep_result, prepare_to_resume, read_end, read_result
from lance_assets.training.rows import LanceRows
from lance_assets.training.stats import VARIABLE, read_stats

HOOK = Path(__file__).parent / "hook"
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
#: Continued pre-training sees text alone, and LLaMA-Factory would give it the first prompt: it gets the last answer.
TEXT_ENTRY = {"formatting": "alpaca", "columns": {"prompt": "caption"}}
CAPTION = {"caption": "messages[-1]['content']"}


def task_environment(offline: bool = True) -> dict[str, str]:
    """Environment of the process that calls `train`, and of any process that runs llamafactory-cli.

    `offline` forbids transformers the hub: right for a base model that lies in a folder, wrong for one named by its id,
    which comes from ModelScope unless USE_MODELSCOPE_HUB=0 is set. The hook folder is put before what PYTHONPATH holds
    already. USE_RAY=0: LLaMA-Factory's own Ray support asks for ten CPUs and waits for ever on a small machine.
    """
    before = os.environ.get("PYTHONPATH", "")
    hub = {"USE_MODELSCOPE_HUB": os.environ.get("USE_MODELSCOPE_HUB", "1")}
    return {
        "PYTHONPATH": os.pathsep.join([str(HOOK), *([before] if before else [])]),
        "USE_RAY": "0",
        **({"HF_HUB_OFFLINE": "1"} if offline else hub),
        "TOKENIZERS_PARALLELISM": "false",
        # threads that spin while they wait cost five times the wall time as soon as something else wants the cores
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def dataset_entry(source: LanceRows, stage: str = "sft") -> dict[str, Any]:
    """An entry of dataset_info.json for rows of a table of the platform."""
    if stage == "pt":
        return {"lance": {**source.entry(), "columns": CAPTION}, **TEXT_ENTRY}
    return {"lance": source.entry(), **ENTRY}


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
    info = {name: dataset_entry(source, recipe.get("stage", "sft")) for name, source in entries.items()}
    (folder / "dataset_info.json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    arguments = recipe | {
        "model_name_or_path": str(base),
        "dataset_dir": str(folder),
        "dataset": "train",
        "output_dir": str(out.absolute() / "model"),
    }
    evaluates = recipe.get("do_eval") or recipe.get("eval_strategy", "no") not in ("no", False)
    return arguments | ({"eval_dataset": "eval"} if evaluates else {})


def train(args: dict[str, Any], processes: int | None = None, gpus: int | None = None) -> dict[str, Any]:
    """Runs LLaMA-Factory in this process, which should be a fresh one with `task_environment`; in several, as ranks
    does, where there are several GPUs or `processes` says so. At least `gpus` must be there.

    Goes on where an earlier training with this output_dir was killed; one that ended is not done again before
    resume.drop_leftovers. Returns {"loss_first", "loss_last", "curve": [{"step", "loss"}], "steps", "seconds",
    "checkpoint", "reader", "resumed_from": step or None, "chosen", "environment"}; a loss is the mean over
    `logging_steps` steps (all, where there are fewer), seconds are wall time, imports included.
    Raises BadInput, MissingExtra, Busy where another process trains there, and whatever LLaMA-Factory raises.
    """
    started = time.monotonic()
    if util.find_spec("llamafactory") is None:
        raise MissingExtra("llamafactory", "train", "training")
    output = Path(args["output_dir"])
    # the process of a killed run may not be dead yet
    with claim(DataRoot(output.parent), "training", timeout=60):
        if (ended := read_result(output)) is not None:
            return ended
        args, resumed_from, chosen = _begin(args, output, processes, gpus)
        _run(args, chosen["processes"])
        # a pickle, and all that it says stands in ARGUMENTS_FILE: nobody should have to unpickle a checkpoint
        (output / "training_args.bin").unlink(missing_ok=True)
        steps, curve = read_end(output)
        result = {
            "loss_first": curve[0]["loss"],
            "loss_last": curve[-1]["loss"],
            "curve": curve,
            "steps": steps,
            "seconds": round(time.monotonic() - started, 2),
            "checkpoint": str(output),
            "reader": read_stats(output / STATS_FILE),
            "resumed_from": resumed_from,
            "chosen": chosen,
            "environment": environment(),
        }
        keep_result(output, result)
    return result


def _begin(
    args: dict[str, Any], output: Path, processes: int | None, gpus: int | None
) -> tuple[dict[str, Any], int | None, Chosen]:
    """Arguments for this machine, the step to go on from, and what was chosen."""
    device, asked = find_device(), args
    if device.gpus < (gpus or 0):
        raise BadInput(f"{gpus} GPUs are asked for, and {device.gpus} can be used here")
    args = fit(args, device)
    chosen = Chosen(
        device=device.name,
        gpus=device.gpus,
        processes=processes or max(1, device.gpus),
        arguments={key: value for key, value in args.items() if key not in asked},
    )
    # LLaMA-Factory resumes by itself, from the newest checkpoint in its folder, unless it is told to overwrite
    args = args | {"overwrite_output_dir": False}
    resumed_from = prepare_to_resume(output)
    (output / ARGUMENTS_FILE).write_text(json.dumps(args, indent=2) + "\n", encoding="utf-8")
    os.environ.update({VARIABLE: str(output / STATS_FILE), "USE_RAY": "0"})
    if resumed_from is not None and args.get("finetuning_type") != "lora":
        # transformers 5 renames the weights of Qwen-VL when it loads a model, but not when it resumes: they would stay
        # those of the base, with two warnings about keys. So the base is the checkpoint itself.
        args = args | {"model_name_or_path": str(checkpoint_folder(output, resumed_from))}
    return args, resumed_from, chosen


def _run(args: dict[str, Any], processes: int) -> None:
    if processes == 1:
        finder.install()
        from llamafactory.train.tuner import run_exp

        run_exp(args)
        return
    recipe = Path(args["output_dir"]) / "train_args.yaml"
    recipe.write_text(json.dumps(args))  # JSON is YAML, and LLaMA-Factory cannot read a file named .json
    environment = os.environ | task_environment(Path(args["model_name_or_path"]).exists())
    run_ranks([sys.executable, "-m", ranks.__name__, str(recipe)], processes, environment)
    recipe.unlink()
