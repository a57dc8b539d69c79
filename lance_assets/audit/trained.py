"""Which training sets, and which checkpoints, a row belongs to: what a manifest selects at its pinned version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import lance

from lance_assets.errors import BadInput
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import fragment_at
from lance_assets.store.table import batch_fragments, open_images, quoted

Side = Literal["train", "test"]


@dataclass(frozen=True)
class Trained:
    """A checkpoint as far as its rows go: the folder of its weights, and the manifest of its training set; None where
    that cannot be read, `problem` says why."""

    path: str
    manifest: Mapping[str, Any] | None
    problem: str | None = None


class PinGone(RuntimeError):
    """The version that a manifest pins cannot be read here any more: its tag was deleted, or it is another table."""


def pinned(root: DataRoot, manifest: Mapping[str, Any]) -> lance.LanceDataset:
    """The table as a manifest pins it. Raises PinGone."""
    if manifest["uri"] != root.images:
        raise PinGone(f"it pins {manifest['uri']}, which is not {root.images}")
    try:
        return open_images(root, manifest["version"])
    except (OSError, ValueError, BadInput) as error:
        raise PinGone(f"version {manifest['version']} of {root.images} is gone") from error


def side_of(root: DataRoot, manifest: Mapping[str, Any], batch: str, id: str) -> Side | None:
    """On which side of a training set a row is; None = on none. Reads the fragments of its batch. Raises PinGone."""
    dataset = pinned(root, manifest)
    fragments = [fragment_at(dataset, number) for number in batch_fragments(dataset, batch)]
    if not fragments:
        return None
    sides: tuple[Side, ...] = ("train", "test")
    rows = dataset.scanner(
        columns={side: manifest[side] for side in sides}, filter=f"id = {quoted(id)}", fragments=fragments
    ).to_table()
    return next((side for row in rows.to_pylist() for side in sides if row[side]), None)


def trained_on(root: DataRoot, checkpoints: Sequence[Trained], batch: str, id: str) -> list[dict[str, Any]]:
    """The checkpoints that a row trained, or was held out from, and those of which nobody can tell any more (`unknown`
    says why), in the order given."""
    sides: dict[str, tuple[Side | None, str | None]] = {}  # several checkpoints may have one training set
    found: list[dict[str, Any]] = []
    for one in checkpoints:
        if one.manifest is None:
            found.append({"path": one.path, "tag": None, "version": None, "side": None, "unknown": one.problem})
            continue
        tag = one.manifest["tag"]
        if tag not in sides:
            try:
                sides[tag] = side_of(root, one.manifest, batch, id), None
            except PinGone as error:
                sides[tag] = None, str(error)
        side, unknown = sides[tag]
        if side or unknown:
            version = one.manifest["version"]
            found.append({"path": one.path, "tag": tag, "version": version, "side": side, "unknown": unknown})
    return found


def trained_words(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """One labelled line each, for people."""
    said = {"train": "trained", "test": "held out"}
    return [
        ("unknown", f"whether {one['path']} saw it: {one['unknown']}")
        if one["unknown"]
        else (said[one["side"]], f"{one['path']} ({one['tag']}, version {one['version']})")
        for one in found
    ]
