"""`audit checkpoint`: rows, labels, recipe, code and environment that made a checkpoint, whether the table still has
exactly these rows, and what became of them since."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lance

from lance_assets.audit.trained import PinGone, pinned
from lance_assets.store.changes import changes, row_changes
from lance_assets.store.files import DataRoot
from lance_assets.store.table import open_images
from lance_assets.store.versions import steady

SIDES: tuple[str, ...] = ("train", "test")
#: What a manifest's own digest leaves out: it says when and where the same content was pinned.
APART = ("sha256", "version", "tag", "created")


@dataclass(frozen=True)
class Checkpoint:
    """The files beside a checkpoint's weights, as plain data (see training.artifacts)."""

    path: str
    summary: Mapping[str, Any]
    manifest: Mapping[str, Any]
    recipe: Mapping[str, Any] | None
    environment: Mapping[str, Any] | None
    evaluation: Mapping[str, Any] | None
    weights: Mapping[str, int]
    digests: Mapping[str, str] | None
    differ: Sequence[str] | None


def audit_checkpoint(root: DataRoot, one: Checkpoint) -> dict[str, Any]:
    """Plain data about a checkpoint. The check of its rows counts them at the pinned version; `repro --check` compares
    their digest. Raises BadInput where there is no image table."""
    summary, manifest = one.summary, one.manifest
    trained = ("base", "base_sha256", "run_id", "steps", "seconds", "loss_first", "loss_last", "reader")
    return {
        "path": one.path,
        "weights": dict(one.weights),
        "digests": one.digests,
        "differ": one.differ,
        **{name: summary.get(name) for name in trained},
        "manifest": {name: value for name, value in manifest.items() if name != "scorers"},
        "manifest_intact": _digest({n: v for n, v in manifest.items() if n not in APART}) == manifest.get("sha256"),
        "scorers": manifest.get("scorers", {}),
        "recipe": one.recipe,
        "recipe_sha256": summary.get("recipe_sha256"),
        "recipe_intact": None if one.recipe is None else _digest(one.recipe) == summary.get("recipe_sha256"),
        "environment": one.environment,
        "evaluation": one.evaluation,
        **_rows(root, manifest),
    }


def _digest(content: Any) -> str:
    """As training.tune and store.selection make theirs."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _rows(root: DataRoot, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """`table`: whether the pinned version has the rows that the manifest counts; `head`: what is different now."""
    head = open_images(root)
    try:
        dataset = pinned(root, manifest)
    except PinGone as error:
        return {"table": {"same_rows": None, "missing": str(error)}, "head": {"version": head.version}}
    counts = _counted(dataset, manifest)
    tag = steady(head.tags.list).get(manifest["tag"])
    table = {
        "same_rows": counts == {side: manifest["rows"].get(side, 0) for side in SIDES},
        "rows": counts,
        "protected": tag is not None and tag["version"] == manifest["version"],
        "missing": None,
    }
    return {"table": table, "head": _head(root, manifest, dataset, head)}


def _counted(dataset: lance.LanceDataset, manifest: Mapping[str, Any]) -> dict[str, int]:
    """Rows of both sides, in one scan of the columns that the filters name."""
    counts = dict.fromkeys(SIDES, 0)
    for part in dataset.scanner(columns={side: manifest[side] for side in SIDES}).to_batches():
        for side in SIDES:
            counts[side] += part.column(side).true_count
    return counts


def _head(
    root: DataRoot, manifest: Mapping[str, Any], dataset: lance.LanceDataset, head: lance.LanceDataset
) -> dict[str, Any]:
    """How the newest version differs: rows and cells of the table, and what the manifest's filters would select."""
    said: dict[str, Any] = {"version": head.version, "commits_since": head.version - dataset.version}
    found = changes(root, dataset, head)
    said["table"] = _sum(found.rows)
    said["relabelled"] = [vars(one) for one in found.cells if one.cells > one.carried]
    try:
        said["selected"] = {side: _sum(row_changes(dataset, head, manifest[side])) for side in SIDES}
        said["unusable"] = None
    except (OSError, ValueError) as error:  # a column that the filter names is gone
        said |= {"selected": None, "unusable": str(error).splitlines()[0]}
    return said


def _sum(rows: Mapping[str, Any]) -> dict[str, int]:
    names = ("added", "removed", "changed", "moved")
    return {name: sum(getattr(one, name) for one in rows.values()) for name in names}
