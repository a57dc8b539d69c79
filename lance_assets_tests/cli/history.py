"""A home whose table has a history."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lance_assets.settings import Home
from lance_assets.store.files import DataRoot
from lance_assets.store.selection import pin
from lance_assets.training.artifacts import LATEST, MANIFEST, SUMMARY
from lance_assets_tests.histories import eventful
from lance_assets_tests.labels import SHARP
from lance_assets_tests.tables import add_batch

#: A batch that nobody labelled.
OTHER = "other-0123abcd-0-4"


def home_with_history(folder: Path) -> Path:
    """A home with the eventful table, a batch that nobody labelled, a training set and the checkpoint `one`."""
    place = Home(folder, folder / "data")
    place.create()
    root = DataRoot(place.data)
    eventful(root)
    add_batch(root, OTHER, 4, fragments=2)
    place.platform_yaml.write_text(f"scorers: [{{name: sharpness}}]\nsft: {{filter: {SHARP.column} >= 0}}\n")
    checkpoint_of(place, pin(root, f"{SHARP.column} >= 0", 0.1, [SHARP.column]))
    return place.root


def checkpoint_of(home: Home, manifest: dict[str, Any]) -> None:
    """The files of a checkpoint named `one`."""
    folder = home.checkpoints / "one" / "model"
    folder.mkdir(parents=True)
    summary = {"path": str(folder), "base": "tiny", "run_id": "trained", "tag": manifest["tag"], "recipe_sha256": "0"}
    summary |= {"steps": 2, "seconds": 1.0, "loss_first": 2.0, "loss_last": 1.0, "reader": {}}
    for name, said in ((SUMMARY, summary), (MANIFEST, manifest)):
        (folder / name).write_text(json.dumps(said))
    (home.checkpoints / LATEST).write_text(json.dumps(summary))
