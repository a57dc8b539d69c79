"""A recipe that names its own `dataset`, run as it is by LLaMA-Factory with the Lance reader."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lance_assets.errors import BadInput, Failed
from lance_assets.training import ranks
from lance_assets.training.child import VISIBLE, first_gpus
from lance_assets.training.device import count_gpus
from lance_assets.training.launch import task_environment

NAMES = (".yaml", ".yml")
#: What llamafactory-cli sets for ranks unless OPTIM_TORCH=0.
OPTIMIZED = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True", "TORCH_NCCL_AVOID_RECORD_STREAMS": "1"}


def run_own(recipe: Path, gpus: int | None = None) -> None:
    """Trains in this terminal, on so many GPUs of this machine (None = all that may be used).

    Processes on this machine meet on loopback: where llamafactory-cli would start torchrun, whose store listens on
    every interface, `ranks` does. A training over several machines (NNODES, RDZV_ID) is left to torchrun. Raises
    BadInput, and Failed where LLaMA-Factory fails.
    """
    if recipe.suffix not in NAMES:
        raise BadInput(f"{recipe}: LLaMA-Factory takes a recipe only from a file named {' or '.join(NAMES)}")
    # a hub may be asked: the recipe may name data sets and adapters there, whatever its model is
    environment = {**os.environ, **task_environment(offline=False)}
    if gpus is not None:
        if gpus > (there := count_gpus()):
            raise BadInput(f"{gpus} GPUs are asked for, and {there} can be used here")
        environment[VISIBLE] = ",".join(first_gpus(gpus, os.environ.get(VISIBLE)))
    if _number("NNODES", 1) > 1 or "RDZV_ID" in os.environ:
        _over_machines(recipe, environment)
        return
    command, processes = [sys.executable, "-m", ranks.__name__, str(recipe)], _processes(gpus)
    if processes is None:
        ranks.run_one(command, environment)
    else:
        better = OPTIMIZED if _enabled("OPTIM_TORCH", "1") else {}
        ranks.run_ranks(command, processes, {**environment, **better})


def _over_machines(recipe: Path, environment: dict[str, str]) -> None:
    # torchrun is looked for on the path
    path = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "llamafactory.cli", "train", str(recipe)]
    code = subprocess.run(command, env={**environment, "PATH": path}).returncode
    if code:
        raise Failed(f"LLaMA-Factory ended with status {code}; its output above says why")


def _processes(gpus: int | None) -> int | None:
    """How many ranks llamafactory-cli would have torchrun start here, by the variables that it reads (its launcher.py),
    for CUDA; None = one process that is no rank."""
    there = count_gpus() if gpus is None else gpus
    forced = _enabled("FORCE_TORCHRUN") or _enabled("USE_MCA")
    if not forced and (there < 2 or _enabled("USE_KT")):
        return None
    return _number("NPROC_PER_NODE", max(1, there)) if gpus is None else max(1, gpus)


def _enabled(variable: str, otherwise: str = "0") -> bool:
    """As LLaMA-Factory reads it."""
    return os.environ.get(variable, otherwise).lower() in ("true", "y", "1")


def _number(variable: str, otherwise: int) -> int:
    said = os.environ.get(variable, str(otherwise))
    if not (said.isascii() and said.isdecimal()) or int(said) < 1:
        raise BadInput(f"{variable} must be a whole number, 1 or more, not {said!r}")
    return int(said)
