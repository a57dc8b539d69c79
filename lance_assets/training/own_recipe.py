"""A recipe that names its own `dataset`, run as it is by LLaMA-Factory's command line with the Lance reader."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lance_assets.training import ranks
from lance_assets.training.child import VISIBLE, first_gpus
from lance_assets.training.device import count_gpus
from lance_assets.training.launch import task_environment
from lance_assets.training.recipe import read_yaml


def run_own(recipe: Path, gpus: int | None = None) -> int:
    """Trains in this terminal and returns the exit code. `gpus`: how many (None = all that may be used).

    Several processes on this machine meet on loopback: where llamafactory-cli would start torchrun, whose store listens
    on every interface, `ranks` does. A training over several machines (NNODES, RDZV_ID) is left to torchrun. Raises
    BadInput, and Failed where a rank fails.
    """
    base = str(read_yaml(recipe).get("model_name_or_path", ""))
    environment = {**os.environ, **task_environment(Path(base).exists())}
    # torchrun is looked for on the path
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    if gpus is not None:
        environment[VISIBLE] = ",".join(first_gpus(gpus, os.environ.get(VISIBLE)))
    if (processes := _processes(gpus)) is not None:
        ranks.run_ranks([sys.executable, "-m", ranks.__name__, str(recipe)], processes, environment)
        return 0
    return subprocess.run([sys.executable, "-m", "llamafactory.cli", "train", str(recipe)], env=environment).returncode


def _processes(gpus: int | None) -> int | None:
    """How many processes llamafactory-cli would have torchrun start on this machine alone, by the variables that it
    reads (llamafactory/launcher.py); None where it would not, or where other machines take part."""
    if int(os.environ.get("NNODES", "1")) > 1 or "RDZV_ID" in os.environ:
        return None
    there = count_gpus() if gpus is None else gpus
    forced = os.environ.get("FORCE_TORCHRUN", "0").lower() in ("true", "y", "1")
    return int(os.environ.get("NPROC_PER_NODE", max(1, there))) if forced or there > 1 else None
