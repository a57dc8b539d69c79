"""Where a killed training can go on: LLaMA-Factory's checkpoint-<step> folders, and its log."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

#: transformers writes it last, so a folder without it, or with half of it, was being written when the process died.
STATE = "trainer_state.json"
#: LLaMA-Factory appends one JSON line per logging step to it: current_steps, total_steps, loss, lr, throughput,
#: remaining_time. A caller that wants progress tails <output_dir>/trainer_log.jsonl.
PROGRESS_FILE = "trainer_log.jsonl"
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


def drop_checkpoints(output: Path) -> None:
    """After the end: each is three times the size of the weights, and holds pickles."""
    for folder in _checkpoints(output).values():
        shutil.rmtree(folder)


def read_log(output: Path) -> list[dict[str, Any]]:
    """LLaMA-Factory's log so far, without a line that is being written."""
    path = output / PROGRESS_FILE
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def read_curve(output: Path) -> list[dict[str, Any]]:
    """The losses logged so far, in order: [{"step": int, "loss": float}]. Empty before the first."""
    return [{"step": line["current_steps"], "loss": line["loss"]} for line in read_log(output) if "loss" in line]


def _checkpoints(output: Path) -> dict[int, Path]:
    found = output.glob(f"{FOLDER}*") if output.exists() else ()
    return {int(path.name.removeprefix(FOLDER)): path for path in found if path.name.removeprefix(FOLDER).isdigit()}


def _json(path: Path) -> Any:
    """What a file says; None where it is missing or was cut."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
