"""Where a killed training can go on: LLaMA-Factory's checkpoint-<step> folders, its log, and how it ended."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from lance_assets.atomic import write_json

#: transformers writes it last, so a folder without it, or with half of it, was being written when the process died.
STATE = "trainer_state.json"
#: LLaMA-Factory appends one JSON line per logging step to it: current_steps, total_steps, loss, lr, throughput,
#: remaining_time. A caller that wants progress tails <output_dir>/trainer_log.jsonl.
PROGRESS_FILE = "trainer_log.jsonl"
#: transformers' metrics of the whole training, written at its end.
RESULTS_FILE = "all_results.json"
#: What a training that ended returned, until everything else about its checkpoint is written.
TRAINED_FILE = "trained.json"
FOLDER = "checkpoint-"


def last_step(output: Path) -> int | None:
    """The step of the newest whole checkpoint; None where there is none."""
    return max((step for step, folder in _checkpoints(output).items() if _json(folder / STATE)), default=None)


def checkpoint_folder(output: Path, step: int) -> Path:
    return output / f"{FOLDER}{step}"


def prepare_to_resume(output: Path) -> int | None:
    """Makes an output folder fit for going on from its newest whole checkpoint, whose step is returned; None = there is
    none, and the folder was emptied.

    Half-written checkpoints go, since LLaMA-Factory would take the newest, and so do log lines of steps that will be
    done again.
    """
    step = last_step(output)
    if step is None:
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        return None
    for number, folder in _checkpoints(output).items():
        if number > step:
            shutil.rmtree(folder)
    log = output / PROGRESS_FILE
    kept = [line for line in read_log(output) if line["current_steps"] <= step]
    log.write_text("".join(json.dumps(line) + "\n" for line in kept))
    return step


def keep_result(output: Path, result: dict[str, Any]) -> None:
    """What a training that ended returns, so that nothing that fails after it can cost it."""
    write_json(output / TRAINED_FILE, result)


def read_result(output: Path) -> dict[str, Any] | None:
    """What the training in this folder returned; None where it did not end, or is finished altogether."""
    return _json(output / TRAINED_FILE)


def drop_leftovers(output: Path) -> None:
    """Once the checkpoint is complete: each checkpoint-<step> is three times the size of the weights, and holds
    pickles."""
    for folder in _checkpoints(output).values():
        shutil.rmtree(folder)
    (output / TRAINED_FILE).unlink(missing_ok=True)


def read_log(output: Path) -> list[dict[str, Any]]:
    """LLaMA-Factory's log so far, without a line that is being written."""
    path = output / PROGRESS_FILE
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def read_curve(output: Path) -> list[dict[str, Any]]:
    """The losses logged so far, in order: [{"step": int, "loss": float}]. Empty before the first."""
    return [{"step": line["current_steps"], "loss": line["loss"]} for line in read_log(output) if "loss" in line]


def read_end(output: Path) -> tuple[int, list[dict[str, Any]]]:
    """The last step of a training that ended, and its curve; that of one shorter than `logging_steps` is its mean loss
    alone. Raises RuntimeError where there is none."""
    curve, state, results = read_curve(output), _json(output / STATE) or {}, _json(output / RESULTS_FILE) or {}
    steps = state.get("global_step") or (curve[-1]["step"] if curve else 0)
    if not curve and steps and "train_loss" in results:
        curve = [{"step": steps, "loss": round(results["train_loss"], 4)}]
    if not curve:
        raise RuntimeError(f"LLaMA-Factory logged no loss in {output}")
    return steps, curve


def _checkpoints(output: Path) -> dict[int, Path]:
    found = output.glob(f"{FOLDER}*") if output.exists() else ()
    return {int(path.name.removeprefix(FOLDER)): path for path in found if path.name.removeprefix(FOLDER).isdigit()}


def _json(path: Path) -> Any:
    """What a file says; None where it is missing or was cut."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
