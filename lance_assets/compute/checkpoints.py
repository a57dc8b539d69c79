"""The checkpoints of a home and the training sets that they saw. Imports no Ray."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lance_assets.errors import BadInput
from lance_assets.training.artifacts import MANIFEST, finished
from lance_assets.training.manifest import read_manifest


@dataclass(frozen=True)
class Finished:
    """The folder of the weights of a checkpoint, and the manifest of its training set; None where that cannot be read,
    `problem` says why."""

    path: str
    manifest: dict[str, Any] | None
    problem: str | None = None

    @property
    def tag(self) -> str:
        """For people."""
        return self.manifest["tag"] if self.manifest else f"unknown: {self.problem}"


def finished_checkpoints(checkpoints: Path) -> list[Finished]:
    """Every checkpoint whose training ended, newest first."""
    return [_read(path) for path in finished(checkpoints)]


def _read(path: Path) -> Finished:
    try:
        return Finished(str(path), read_manifest(path / MANIFEST))
    except BadInput as error:  # it spoils the answer about one checkpoint, not that about the others
        return Finished(str(path), None, str(error))
