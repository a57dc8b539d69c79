"""The training set: a manifest that pins a Lance version by tag, filter and split, and proves its rows by hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from lance_assets.errors import BadInput
from lance_assets.store import versions
from lance_assets.store.files import DataRoot, read_json, write_json
from lance_assets.store.staleness import versions_in_use
from lance_assets.store.table import open_images
from lance_assets.store.versions import steady

COLUMNS = ["id", "image_sha256", "messages"]
LATEST = "manifests/latest.json"


def pin(root: DataRoot, chosen: str | None, share: float, columns: Sequence[str]) -> dict[str, Any]:
    """Selects the rows where `chosen` (Lance SQL, None = all) holds, splits them by image digest, tags the version.

    The split threshold of an earlier manifest is kept, so no old row ever changes side; exact duplicates have one
    digest and never straddle. A selection that was made before gives its manifest of then, unchanged, so nothing
    downstream is renewed without a reason. `columns` are the score columns whose makers the manifest names. Raises
    BadInput when the filter cannot be used or leaves no row to train on.
    """
    dataset = open_images(root)
    where = "NOT is_placeholder" + (f" AND ({chosen})" if chosen else "")
    try:
        rows = dataset.to_table(columns=COLUMNS, filter=where).sort_by("id")
    except (ValueError, OSError) as error:
        raise BadInput(f"sft.filter {chosen!r} cannot be used: {str(error).splitlines()[0]}") from error
    if rows.num_rows < 2:
        raise BadInput(
            f"sft.filter {chosen!r} selects {rows.num_rows} of {dataset.count_rows()} rows; training needs two at least"
        )
    before = latest_manifest(root)
    below = before["split"]["below"] if before and before["split"]["share"] == share else _threshold(rows, share)
    train, test = (f"{where} AND image_sha256 {sign} '{below}'" for sign in (">=", "<"))
    sides = {"train": _side(rows, below, False), "test": _side(rows, below, True)}
    if sides["train"].num_rows == 0:
        raise BadInput(f"sft.filter {chosen!r} leaves no row to train on: all {rows.num_rows} are held out")
    content: dict[str, Any] = {
        "format": 1,
        "uri": root.images,
        "filter": chosen,
        "train": train,
        "test": test,
        "split": {"by": "image_sha256", "share": share, "below": below},
        "rows": {side: table.num_rows for side, table in sides.items()},
        "row_ids_sha256": {side: rows_digest(table) for side, table in sides.items()},
        "scorers": versions_in_use(root, dataset, columns),
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    if before and before["sha256"] == digest:
        return before
    tag = f"sft-{digest[:12]}"
    again = _manifest(root, manifest_name(tag))
    if again and tag in steady(dataset.tags.list):
        write_json(root, LATEST, again)
        return again
    # It protects the version from cleanup; one without a manifest was left by a kill before the next line.
    versions.tag(root, tag, dataset.version, f"training set {tag}")
    manifest = content | {
        "sha256": digest,
        "version": dataset.version,
        "tag": tag,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_json(root, manifest_name(tag), manifest)
    write_json(root, LATEST, manifest)
    return manifest


def manifest_name(tag: str) -> str:
    """Name of a manifest below the root."""
    return f"manifests/{tag}.json"


def latest_manifest(root: DataRoot) -> dict[str, Any] | None:
    """The manifest pinned last; None before the first."""
    return _manifest(root, LATEST)


def _manifest(root: DataRoot, name: str) -> dict[str, Any] | None:
    try:
        return read_json(root, name)
    except FileNotFoundError:
        return None


def rows_digest(rows: pa.Table) -> str:
    """SHA-256 over (id, image_sha256, messages) of rows sorted by id: the exact rows, pictures and words."""
    digest = hashlib.sha256()
    for row in rows.select(COLUMNS).to_pylist():
        digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def _threshold(rows: pa.Table, share: float) -> str:
    """Digests below it are held out: `share` of all digests, or just the smallest where a small set has none there."""
    below = f"{int(share * 16**8):08x}"
    smallest = min(rows["image_sha256"].to_pylist())
    return below if smallest < below else f"{int(smallest[:8], 16) + 1:08x}"


def _side(rows: pa.Table, below: str, test: bool) -> pa.Table:
    mask = [(digest < below) is test for digest in rows["image_sha256"].to_pylist()]
    return rows.filter(pa.array(mask))
