"""The training set's manifest, as training and evaluation read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, TypedDict

from lance_assets.errors import BadInput
from lance_assets.training.rows import LanceRows

Side = Literal["train", "test"]


class Manifest(TypedDict):
    """Which rows of which Lance version. `train` and `test` are complete Lance SQL filters; `rows` counts per side."""

    uri: str
    version: int
    tag: str
    filter: str | None
    train: str
    test: str
    rows: dict[str, int]
    row_ids_sha256: dict[str, str]


NEEDED: dict[str, type] = {"uri": str, "version": int, "train": str, "test": str, "rows": dict}


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest in a file. Raises BadInput where it is missing, not JSON, or lacks a key (see Manifest)."""
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"there is no training set manifest at {path}: materialize sft_dataset first") from error
    except ValueError as error:
        raise BadInput(f"the training set manifest {path} is not JSON: {error}") from error
    return check_manifest(manifest, str(path))


def check_manifest(manifest: Any, where: str = "the training set manifest") -> dict[str, Any]:
    if not isinstance(manifest, dict):
        raise BadInput(f"{where} must be a JSON object")
    for key, kind in NEEDED.items():
        if not isinstance(manifest.get(key), kind):
            raise BadInput(f"{where} has no usable {key!r} ({kind.__name__} expected)")
    return manifest


def side(manifest: dict[str, Any], name: Side) -> LanceRows:
    """The rows of one side, to be read by rows.scan; it refuses a count that differs from the manifest's."""
    return LanceRows(manifest["uri"], manifest["version"], manifest[name], manifest["rows"].get(name), name=name)
