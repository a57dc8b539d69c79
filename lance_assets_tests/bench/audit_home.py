"""A home of a million labelled rows with a training set and checkpoints, made cheaply, for `bench audit`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lance_assets.atomic import write_json
from lance_assets.store.columns import column_of
from lance_assets.store.files import DataRoot
from lance_assets.store.selection import pin
from lance_assets.store.table import open_images
from lance_assets.training.artifacts import MANIFEST, RECIPE, SUMMARY
from lance_assets_tests.bench.passes import Pass
from lance_assets_tests.bench.simulated import COLUMNS, batch_key, fill

FILTERS = (f"{COLUMNS[0]} >= 40", f"{COLUMNS[0]} >= 40 AND width >= 8")


@dataclass(frozen=True)
class Shape:
    """Of the table; the first two of the `columns` are relabelled in one batch after the first training set."""

    batches: int
    fragments: int
    rows: int
    columns: int

    @property
    def total(self) -> int:
        return self.batches * self.fragments * self.rows


@dataclass(frozen=True)
class Made:
    """A home; `stored` is the version that stored all rows, `relabelled` one that published a column of one batch."""

    home: Path
    root: DataRoot
    stored: int
    relabelled: int
    checkpoints: list[Path]


def make(home: Path, shape: Shape, checkpoints: int) -> Made:
    """Two training sets, before and after a batch was labelled anew; the checkpoints share them in turn."""
    root = DataRoot(home / "data")
    names = [*COLUMNS, *(column_of(f"bench_{number}") for number in range(shape.columns - len(COLUMNS)))]
    stored = fill(root, shape.batches, shape.fragments, shape.rows, names).version
    (home / "platform.yaml").write_text(f"scorers: [{{name: sharpness}}]\nsft: {{filter: '{FILTERS[0]}'}}\n")
    first = pin(root, FILTERS[0], 0.1, names)
    Pass(root, turn=1)(batch_key(shape.batches // 2))
    relabelled = open_images(root).version
    manifests = [first, pin(root, FILTERS[1], 0.1, names)]
    folders = [_checkpoint(home, f"{number}", manifests[number % 2]) for number in range(checkpoints)]
    return Made(home, root, stored, relabelled, folders)


def _checkpoint(home: Path, name: str, manifest: dict[str, Any]) -> Path:
    """The files beside the weights of a training that never was."""
    folder = home / "checkpoints" / name / "model"
    folder.mkdir(parents=True)
    summary = {
        **{"path": str(folder), "base": "tiny", "run_id": "bench", "tag": manifest["tag"]},
        **{"loss_first": 2.0, "loss_last": 1.0, "steps": 1, "seconds": 1.0, "recipe_sha256": "", "reader": {}},
    }
    for file, said in ((SUMMARY, summary), (MANIFEST, manifest), (RECIPE, {"stage": "sft"})):
        write_json(folder / file, json.loads(json.dumps(said)))
    return folder
