"""The checkpoints of a home and the training sets that they saw. Imports no Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lance_assets.training.artifacts import MANIFEST, finished
from lance_assets.training.manifest import read_manifest


def finished_with_manifests(checkpoints: Path) -> list[tuple[str, dict[str, Any]]]:
    """The folder of the weights and the manifest of each finished checkpoint, newest first. Raises BadInput."""
    return [(str(path), read_manifest(path / MANIFEST)) for path in finished(checkpoints)]
