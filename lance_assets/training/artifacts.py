"""What lies beside a checkpoint's weights and says what it was made of: plain JSON, read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lance_assets.errors import BadInput
from lance_assets.training.folder import (
    DIGESTS,
    ENVIRONMENT,
    EVALUATION,
    LATEST,
    MANIFEST,
    RECIPE,
    SUMMARY,
    file_digest,
    read_json,
    weights_folder,
)
from lance_assets.training.manifest import read_manifest

WEIGHTS = "*.safetensors"
#: Files are compared with their digests where they are not larger than that together.
COMPARED_BYTES = 256 << 20


@dataclass(frozen=True)
class Artifacts:
    """Of one checkpoint; None = it has no such file. `weights` are bytes by file name, `digests` what training
    recorded, `differ` names the files that are not what was recorded: None = nothing was recorded, or it is too large
    to be compared here."""

    path: Path
    summary: dict[str, Any]
    manifest: dict[str, Any]
    recipe: dict[str, Any] | None
    environment: dict[str, Any] | None
    evaluation: dict[str, Any] | None
    weights: dict[str, int]
    digests: dict[str, str] | None
    differ: list[str] | None


def read_artifacts(folder: Path) -> Artifacts:
    """Of the checkpoint in a folder, or in its subfolder `model`. Raises BadInput where it is none, or damaged."""
    here = weights_folder(folder)
    if here is None:
        what = "it does not exist" if not folder.exists() else f"it has no {SUMMARY}, so no training ended in it"
        raise BadInput(f"{folder} is no checkpoint of this platform: {what}")
    digests = read_json(here / DIGESTS)
    return Artifacts(
        here,
        read_json(here / SUMMARY) or {},
        read_manifest(here / MANIFEST),
        read_json(here / RECIPE),
        read_json(here / ENVIRONMENT),
        evaluation_of(here),
        {path.name: path.stat().st_size for path in sorted(here.glob(WEIGHTS))},
        digests,
        None if digests is None else _differ(here, digests),
    )


def _differ(folder: Path, digests: dict[str, str]) -> list[str] | None:
    there = {name: folder / name for name in digests if (folder / name).is_file()}
    if sum(path.stat().st_size for path in there.values()) > COMPARED_BYTES:
        return None
    same = [name for name, path in there.items() if file_digest(path) == digests[name]]
    return sorted(set(digests) - set(same))


def finished(checkpoints: Path) -> list[Path]:
    """The folders of the weights of every checkpoint whose training ended and that has a manifest, newest first."""
    found = [path.parent for path in checkpoints.glob(f"*/model/{SUMMARY}") if (path.parent / MANIFEST).exists()]
    return sorted(found, key=lambda folder: (folder / SUMMARY).stat().st_mtime, reverse=True)


def latest(checkpoints: Path) -> dict[str, Any] | None:
    """The summary of the checkpoint that was materialized last; None before the first. Raises BadInput."""
    return read_json(checkpoints / LATEST)


def evaluation_of(folder: Path) -> dict[str, Any] | None:
    """What the evaluation of a checkpoint said; None before it, or where the folder is gone. Raises BadInput."""
    return read_json(folder / EVALUATION)
