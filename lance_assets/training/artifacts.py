"""What lies beside a checkpoint's weights and says what it was made of: plain JSON, read without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lance_assets.errors import BadInput
from lance_assets.training.manifest import read_manifest

#: What a checkpoint was made of. Its presence says that training ended.
SUMMARY = "lance_assets.json"
MANIFEST = "manifest.json"
RECIPE = "recipe.json"
EVALUATION = "evaluation.json"
#: In the folder of all checkpoints: the summary of the one that was materialized last.
LATEST = "latest.json"
WEIGHTS = "*.safetensors"


@dataclass(frozen=True)
class Artifacts:
    """Of one checkpoint. `recipe` and `evaluation` None = it has none; `weights` are bytes by file name."""

    path: Path
    summary: dict[str, Any]
    manifest: dict[str, Any]
    recipe: dict[str, Any] | None
    evaluation: dict[str, Any] | None
    weights: dict[str, int]


def read_artifacts(folder: Path) -> Artifacts:
    """Of the checkpoint in a folder, or in its subfolder `model`. Raises BadInput where it is none, or damaged."""
    here = next((place for place in (folder, folder / "model") if (place / SUMMARY).exists()), None)
    if here is None:
        what = "it does not exist" if not folder.exists() else f"it has no {SUMMARY}, so no training ended in it"
        raise BadInput(f"{folder} is no checkpoint of this platform: {what}")
    summary = _json(here / SUMMARY)
    if summary is None:
        raise BadInput(f"{here / SUMMARY} went while it was read")
    return Artifacts(
        here,
        summary,
        read_manifest(here / MANIFEST),
        _json(here / RECIPE),
        evaluation_of(here),
        {path.name: path.stat().st_size for path in sorted(here.glob(WEIGHTS))},
    )


def finished(checkpoints: Path) -> list[Path]:
    """The folders of the weights of every checkpoint whose training ended and that has a manifest, newest first."""
    found = [path.parent for path in checkpoints.glob(f"*/model/{SUMMARY}") if (path.parent / MANIFEST).exists()]
    return sorted(found, key=lambda folder: (folder / SUMMARY).stat().st_mtime, reverse=True)


def latest(checkpoints: Path) -> dict[str, Any] | None:
    """The summary of the checkpoint that was materialized last; None before the first. Raises BadInput."""
    return _json(checkpoints / LATEST)


def evaluation_of(folder: Path) -> dict[str, Any] | None:
    """What the evaluation of a checkpoint said; None before it, or where the folder is gone. Raises BadInput."""
    return _json(folder / EVALUATION)


def _json(path: Path) -> dict[str, Any] | None:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(said, dict):
        raise BadInput(f"{path} must be a JSON object")
    return said
