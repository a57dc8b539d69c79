"""`audit version`: what a version of the image table is and what it changed; what is known of one that is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lance

from lance_assets.audit.gone import around, gone_words
from lance_assets.audit.text import labelled, some, when
from lance_assets.errors import BadInput
from lance_assets.store.batches import RUN
from lance_assets.store.changes import Changes, changes, published
from lance_assets.store.files import DataRoot
from lance_assets.store.selection import manifests
from lance_assets.store.table import open_images
from lance_assets.store.versions import HOLD, made_at, steady

#: What Lance calls the operation of a commit, and what that is here.
OPERATIONS = {
    "Overwrite": "the table was made",
    "Append": "a batch was stored",
    "Update": "a batch was replaced",
    "DataReplacement": "cells were published",
    "Rewrite": "a batch was compacted",
    "Merge": "columns were added",
    "Project": "columns were dropped",
    "CreateIndex": "an index was renewed",
}
ROWS = ("added", "removed", "changed", "moved")


def audit_version(root: DataRoot, number: int) -> dict[str, Any]:
    """Plain data about a version of the image table. Raises BadInput for one that never was."""
    newest = open_images(root)
    if not 1 <= number <= newest.version:
        raise BadInput(f"there is no version {number} of {root.images}: it has versions 1 to {newest.version}")
    there = sorted(one["version"] for one in newest.version_refs())
    tags = steady(newest.tags.list)
    found: dict[str, Any] = {
        "version": number,
        "table": root.images,
        "newest": newest.version,
        "kept": number in there,
        "older": max((one for one in there if one < number), default=None),
        "newer": min((one for one in there if one > number), default=None),
        "tags": {
            name: tag["metadata"].get("reason", "a writer works from it" if name.startswith(HOLD) else "")
            for name, tag in tags.items()
            if tag["version"] == number
        },
        "training_sets": [
            {"tag": one["tag"], "created": one["created"], "rows": one["rows"]}
            for one in manifests(root)
            if one["version"] == number
        ],
    }
    return found | (_kept(root, found) if found["kept"] else around(root, found))


def _kept(root: DataRoot, found: Mapping[str, Any]) -> dict[str, Any]:
    dataset = open_images(root, found["version"])
    said, done = dataset.get_version(), dataset.read_transaction(found["version"])
    if found["older"] is not None:
        changed = changes(root, open_images(root, found["older"]), dataset)
    else:
        changed = published(root, done) if done else None
    run = (done.transaction_properties or {}).get(RUN) if done else None
    return {
        "time": when(made_at(dataset)),
        "rows": dataset.count_rows(),
        "fragments": int(said["metadata"]["total_fragments"]),
        "bytes": int(said["metadata"]["total_files_size"]),
        "columns": dataset.schema.names,
        "operation": _operation(done),
        "runs": [run] if run else list(changed.runs if changed else ()),
        "compared_with": found["older"],
        "changes": None if changed is None else _plain(changed),
    }


def _operation(done: lance.Transaction | None) -> str:
    name = type(done.operation).__name__ if done else ""
    return OPERATIONS.get(name, "upkeep of the table itself")


def _plain(found: Changes) -> dict[str, Any]:
    return {
        "rows": {batch: vars(one) for batch, one in sorted(found.rows.items())},
        "cells": [vars(one) for one in found.cells],
        "columns_added": found.columns_added,
        "columns_dropped": found.columns_dropped,
        "runs": found.runs,
        "unexplained": found.unexplained,
    }


def words(found: Mapping[str, Any]) -> list[str]:
    """The same for people."""
    lines = labelled([("version", f"{found['version']} of {found['table']}, newest is {found['newest']}")])
    lines += labelled([("tag", f"{name}: {reason or 'no reason given'}") for name, reason in found["tags"].items()])
    lines += labelled(
        [
            ("trained on", f"{one['tag']}, {one['rows']['train']} rows and {one['rows']['test']} held out")
            for one in found["training_sets"]
        ]
    )
    return lines + (_kept_words(found) if found["kept"] else gone_words(found))


def _kept_words(found: Mapping[str, Any]) -> list[str]:
    lines = labelled(
        [
            ("time", str(found["time"])),
            (
                "holds",
                f"{found['rows']} rows in {found['fragments']} fragments, {found['bytes'] / 1e6:.1f} MB of files",
            ),
            ("commit", f"{found['operation']}, run {' or '.join(found['runs']) or 'unrecorded'}"),
        ]
    )
    said, since = found["changes"], found["compared_with"]
    if said is None:
        return lines + labelled([("changed", "cannot be told: its commit is not recorded")])
    if since is None:
        against = "nothing before it" if found["version"] == 1 else "cleaned up; this is what its own commit says"
    else:
        skipped = found["version"] - since - 1
        against = f"version {since}" + (f" ({skipped} between them are cleaned up)" if skipped else "")
    lines += labelled([("against", against)])
    for label, names in (("added", said["columns_added"]), ("dropped", said["columns_dropped"])):
        lines += labelled([(label, f"column {', '.join(names)}")] if names else [])
    if not said["rows"] and not said["cells"]:
        lines += labelled([("changed", "no row and no cell")])
    lines += labelled([("UNEXPLAINED", f" {count} cells of {name}") for name, count in said["unexplained"].items()])
    if said["rows"]:
        rows = [[batch, *(str(one[name]) for name in ROWS)] for batch, one in said["rows"].items()]
        lines += ["", *some(["batch", *ROWS], rows)]
    if said["cells"]:
        header = ["column", "scorer", "config", "cells", "computed", "carried", "batches", "runs"]
        cells = [
            [
                one["column"],
                f"{one['scorer']} {one['version']}",
                one["config_hash"][:12],
                *(str(count) for count in (one["cells"], one["cells"] - one["carried"], one["carried"])),
                str(len(one["batches"])),
                ", ".join(run[:8] for run in one["runs"][:3]) + (" ..." if len(one["runs"]) > 3 else ""),
            ]
            for one in said["cells"]
        ]
        lines += ["", *some(header, cells)]
    return lines
