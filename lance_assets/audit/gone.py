"""What is still known of a version of the image table that was cleaned up: what the ledger says of that time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lance_assets.audit.text import labelled, some, when
from lance_assets.store import ledger
from lance_assets.store.files import DataRoot
from lance_assets.store.ledger import COUNTS, MAKER
from lance_assets.store.table import open_images
from lance_assets.store.versions import made_at


def around(root: DataRoot, found: Mapping[str, Any]) -> dict[str, Any]:
    """What the ledger says of the time around a version that was cleaned up: which passes worked from it, and what was
    announced between the versions beside it that are kept. Which of that it published, nobody knows any more."""
    times = {name: made_at(open_images(root, found[name])) if found[name] else None for name in ("older", "newer")}
    others = ("batch", "run_id", "read_version", "started", "planned", "carried_from")
    rows = ledger.read(root, columns=["column", *MAKER, *COUNTS.values(), *others])
    later = rows.filter(pc.field("read_version") >= found["version"])
    between = rows.filter(pc.field("carried_from").is_null())
    if times["older"]:
        between = between.filter(pc.field("planned") > pa.scalar(times["older"], rows.schema.field("planned").type))
    if times["newer"]:
        between = between.filter(pc.field("planned") <= pa.scalar(times["newer"], rows.schema.field("planned").type))
    return {
        "gone": "its manifest, and the files that no kept version refers to",
        "older_time": when(times["older"]),
        "newer_time": when(times["newer"]),
        "existed_by": when(min(later["started"].to_pylist(), default=None)),
        "read_by": _announced(rows.filter(pc.field("read_version") == found["version"])),
        "announced_between": _announced(between),
    }


def _announced(rows: pa.Table) -> list[dict[str, Any]]:
    """Ledger rows added up by column, maker and run."""
    keys = ["column", *MAKER, "run_id"]
    sums = [(name, "sum") for name in COUNTS.values()]
    grouped = rows.group_by(keys).aggregate([*sums, ("batch", "distinct"), ("planned", "min"), ("planned", "max")])
    return [
        {
            **{name: one[name] for name in keys},
            "rows": sum(one[f"{name}_sum"] for name in COUNTS.values()),
            "batches": sorted(one["batch_distinct"]),
            "first": when(one["planned_min"]),
            "last": when(one["planned_max"]),
        }
        for one in grouped.sort_by("planned_min").to_pylist()
    ]


def gone_words(found: Mapping[str, Any]) -> list[str]:
    beside = [f"version {found[name]} of {found[f'{name}_time']}" for name in ("older", "newer") if found[name]]
    lines = labelled(
        [
            ("GONE", f"it was cleaned up: {found['gone']}"),
            ("beside", " and ".join(beside)),
            ("existed by", found["existed_by"] or "no pass is known to have read it or a later one"),
        ]
    )
    for label, name in (("passes that worked from it", "read_by"), ("announced in between", "announced_between")):
        rows = [
            [
                one["column"],
                f"{one['scorer']} {one['version']}".strip() or "-",
                one["run_id"][:8] or "-",
                str(one["rows"]),
                str(len(one["batches"])),
                str(one["first"]),
                str(one["last"]),
            ]
            for one in found[name]
        ]
        header = ["column", "scorer", "run", "rows", "batches", "first", "last"]
        lines += ["", f"{label}: {'' if rows else 'the ledger knows of nothing'}".rstrip()]
        lines += [*some(header, rows)] if rows else []
    return lines
