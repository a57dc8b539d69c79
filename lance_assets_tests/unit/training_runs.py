"""Trainings of the tiny model in processes of their own, shared by the tests of LLaMA-Factory on Lance."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lance_assets.training import rows, stats
from lance_assets.training.launch import prepare, task_environment
from lance_assets.training.manifest import side
from lance_assets.training.recipe import load_recipe

SECONDS = 300
#: Trains with each of several arguments, one after the other: starting LLaMA-Factory takes longer than training.
TRAIN = """
import json, sys
from pathlib import Path
from lance_assets.training.launch import train
from lance_assets.training.tiny import build_tiny
args, captions, processes = json.loads(Path(sys.argv[1]).read_text())
base = Path(args[0]["model_name_or_path"])
if not base.exists():
    build_tiny(base, captions)
for one in args:
    print("RESULT " + json.dumps(train(one, processes)), flush=True)
"""


def arguments(folder: Path, manifest: dict[str, Any], name: str, **recipe: Any) -> dict[str, Any]:
    """LLaMA-Factory's, for the demo recipe with these keys replaced, training in <folder>/<name>."""
    chosen = load_recipe("demo", {"plot_loss": False, "save_strategy": "no", "logging_steps": 1, **recipe})
    return prepare(manifest, chosen, folder / "base", folder / name)


def trained(
    folder: Path, args: Sequence[dict[str, Any]], captions: Sequence[str] = (), processes: int = 1
) -> tuple[list[dict[str, Any]], str]:
    """What `train` returned for each, and all that it printed."""
    request = folder / "request.json"
    request.write_text(json.dumps([args, captions, processes]))
    output = run([sys.executable, "-c", TRAIN, str(request)], folder)
    return [json.loads(line[7:]) for line in output.splitlines() if line.startswith("RESULT ")], output


def run(command: Sequence[str], folder: Path, **said: str) -> str:
    """A command with the hook, in a folder; its stdout."""
    environment = os.environ | task_environment() | {"OMP_NUM_THREADS": "2"} | said
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def every_row_once(manifest: dict[str, Any]) -> dict[str, Any]:
    """What a training has seen after one epoch."""
    ids = rows.scan(side(manifest, "train"), [])[0]["_rowid"].to_pylist()
    return {"rows": len(ids), "checksum": f"{stats.checksum(ids):016x}"}
