"""The training set: a manifest that pins a Lance version by tag, filter and split, and proves its rows by hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import lance
import pyarrow as pa
import pyarrow.compute as pc

from lance_assets.errors import BadInput
from lance_assets.store import versions
from lance_assets.store.claims import claim
from lance_assets.store.duplicates import CLAIM, COLUMN
from lance_assets.store.files import DataRoot, names, read_json, write_json
from lance_assets.store.staleness import versions_in_use
from lance_assets.store.table import open_images, quoted
from lance_assets.store.versions import steady

COLUMNS = ["id", "image_sha256", "messages"]
LATEST = "manifests/latest.json"
#: How the tags of training sets begin.
TAG = "sft-"
#: Rows that are hashed at a time: as Python objects they take many times the memory of the table.
HASHED_ROWS = 1024


@dataclass(frozen=True)
class Groups:
    """The content groups that a split goes by: cells made in this way (`by`, see duplicates.TYPE), and whether only the
    first of what looks alike is wanted."""

    by: str
    drop: bool = False


def pin(
    root: DataRoot,
    chosen: str | None,
    share: float,
    columns: Sequence[str],
    groups: Groups | None = None,
    allow: Callable[[lance.LanceDataset], None] = lambda dataset: None,
) -> dict[str, Any]:
    """Selects the rows where `chosen` (Lance SQL, None = all) holds, splits them by content group, tags the version.

    A row is held out where all groups that it links have keys below the threshold of the split, and trains where none
    has; one that links both sides is excluded (`bridges_split`), and so is every row with a `first` where duplicates
    are dropped, selected or not as the first may be (`duplicates`), and every row that was not compared in the way of
    `groups` yet, since it might be like one of the other side (`not_grouped`). Without `groups` nobody compares rows
    any more: a row that was never compared goes by its image digest.

    The threshold of an earlier manifest is kept, so no old row ever changes side. A selection that was made before
    gives its manifest of then, unchanged, so nothing downstream is renewed without a reason. `columns` are the score
    columns whose makers the manifest names. `allow` is shown the version, and raises where something in it must not
    be trained on. Raises BadInput when the filter cannot be used or leaves no row to train
    on, Busy where duplicates are compared all the time.
    """
    with claim(root, CLAIM):  # nobody gives a row that we pin other groups meanwhile
        return _pin(root, chosen, share, columns, groups, allow)


def _pin(
    root: DataRoot,
    chosen: str | None,
    share: float,
    columns: Sequence[str],
    groups: Groups | None,
    allow: Callable[[lance.LanceDataset], None],
) -> dict[str, Any]:
    dataset = open_images(root)
    allow(dataset)
    compared = COLUMN in dataset.schema.names
    if groups and not compared:
        raise BadInput(f"no row of {root.images} was compared with the others yet: materialize score/duplicate first")
    where = selects(chosen)
    try:
        rows = dataset.to_table(columns=_columns(compared), filter=where).sort_by("id")
    except (ValueError, OSError) as error:
        raise BadInput(f"sft.filter {chosen!r} cannot be used: {str(error).splitlines()[0]}") from error
    if rows.num_rows < 2:
        raise BadInput(
            f"sft.filter {chosen!r} selects {rows.num_rows} of {dataset.count_rows()} rows; training needs two at least"
        )
    usable, left_out = _usable(rows, groups, compared)
    before = latest_manifest(root)
    below = before["split"]["below"] if before and before["split"]["share"] == share else threshold(usable, share)
    sides = {
        "train": usable.filter(pc.field("low") >= below),
        "test": usable.filter(pc.field("high") < below),
    }
    if compared:
        left_out["bridges_split"] = usable.num_rows - sum(side.num_rows for side in sides.values())
    if sides["train"].num_rows == 0:
        why = "".join(f", {count} {reason}" for reason, count in left_out.items() if count)
        raise BadInput(
            f"sft.filter {chosen!r} leaves no row to train on: of {rows.num_rows} "
            f"{sides['test'].num_rows} are held out{why}"
        )
    low, high = (key_of(name, groups, compared) for name in ("low", "high"))
    limits = "".join(f" AND {limit}" for limit in group_limits(groups, compared))
    content: dict[str, Any] = {
        "format": 1,
        "uri": root.images,
        "filter": chosen,
        "train": f"{where}{limits} AND {low} >= '{below}'",
        "test": f"{where}{limits} AND {high} < '{below}'",
        "split": {"by": "content_group" if compared else "image_sha256", "share": share, "below": below},
        "rows": {side: table.num_rows for side, table in sides.items()},
        "row_ids_sha256": {side: rows_digest(table) for side, table in sides.items()},
        "scorers": versions_in_use(root, dataset, columns),
    }
    if left_out:
        content["excluded"] = left_out
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    if before and before["sha256"] == digest:
        return before
    tag = f"{TAG}{digest[:12]}"
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


def manifests(root: DataRoot) -> list[dict[str, Any]]:
    """Every manifest that was pinned, oldest first."""
    kept = [name for name in names(root, "manifests") if name.startswith(TAG)]
    return sorted((read_json(root, f"manifests/{name}") for name in kept), key=lambda one: one["created"])


def _manifest(root: DataRoot, name: str) -> dict[str, Any] | None:
    try:
        return read_json(root, name)
    except FileNotFoundError:
        return None


def rows_digest(rows: pa.Table) -> str:
    """SHA-256 over (id, image_sha256, messages) of rows sorted by id: the exact rows, pictures and words."""
    digest = hashlib.sha256()
    for some in rows.select(COLUMNS).to_batches(max_chunksize=HASHED_ROWS):
        for row in some.to_pylist():
            digest.update(json.dumps(row, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def selects(chosen: str | None) -> str:
    """Lance SQL of the rows that may be selected: placeholders only where the filter speaks of them."""
    asked = [f"({chosen})"] if chosen else []
    return " AND ".join(asked if "is_placeholder" in (chosen or "") else ["NOT is_placeholder", *asked])


def _columns(compared: bool) -> dict[str, str]:
    """What is read of each row, as Lance SQL by name; `low` and `high` are what the split goes by."""
    columns = {name: name for name in COLUMNS} | {"low": "image_sha256", "high": "image_sha256"}
    if compared:
        columns |= {name: key_of(name, None, True) for name in ("low", "high")}
        columns |= {name: f"{COLUMN}.{name}" for name in ("by", "first")}
    return columns


def key_of(name: str, groups: Groups | None, compared: bool) -> str:
    if not compared:
        return "image_sha256"
    return f"{COLUMN}.{name}" if groups else f"coalesce({COLUMN}.{name}, image_sha256)"


def group_limits(groups: Groups | None, compared: bool) -> list[str]:
    """Lance SQL that holds for the rows that `_usable` keeps."""
    if groups is None or not compared:
        return []
    return [f"{COLUMN}.by = {quoted(groups.by)}", *([f"{COLUMN}.first IS NULL"] if groups.drop else [])]


def _usable(rows: pa.Table, groups: Groups | None, compared: bool) -> tuple[pa.Table, dict[str, int]]:
    """The rows that may train or be held out, and how many are left out for which reason."""
    if not compared:
        return rows, {}
    left_out = {"bridges_split": 0, "duplicates": 0, "not_grouped": 0}
    if groups is None:
        return rows, left_out
    grouped = rows.filter(pc.field("by") == groups.by)
    kept = grouped.filter(pc.field("first").is_null()) if groups.drop else grouped
    left_out |= {"duplicates": grouped.num_rows - kept.num_rows, "not_grouped": rows.num_rows - grouped.num_rows}
    return kept, left_out


def threshold(rows: pa.Table, share: float) -> str:
    """Keys below it are held out: `share` of all keys, or just the smallest where a small set has none there."""
    below = f"{int(share * 16**8):08x}"
    smallest = pc.call_function("min_max", [rows["high"]])["min"].as_py() or ""
    return below if smallest < below else f"{int(smallest[:8], 16) + 1:08x}"
