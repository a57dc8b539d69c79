"""`audit stale`: which cells the labelling sensor would score, by column and reason."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lance_assets.audit.text import aligned, when
from lance_assets.store.backlog import Backlog, backlog
from lance_assets.store.columns import column_of
from lance_assets.store.files import DataRoot
from lance_assets.store.staleness import Identity
from lance_assets.store.table import open_images

#: The reasons of staleness as people read them, the most urgent first.
WORDS = {
    "new": "never scored",
    "image": "image changed",
    "damaged": "damaged",
    "unknown": "unexplained",
    "version": "scorer version",
    "config": "config",
    "failed": "transient failure due",
}


def audit_stale(
    root: DataRoot, identities: Sequence[Identity], paused: Collection[str] = (), now: datetime | None = None
) -> dict[str, Any]:
    """Plain data: rows by reason and batches of each column that is to be as `identities` say. Raises BadInput where
    there is no table."""
    dataset, at = open_images(root), now or datetime.now(UTC)
    found = backlog(root, dataset, identities, at)
    return {
        "table": root.images,
        "table_version": dataset.version,
        "time": when(at),
        "rows": dataset.count_rows(),
        "batches": len(found.stale),
        "columns": {
            identity.scorer: _column(found, identity.scorer) | {"paused": identity.scorer in paused}
            for identity in identities
        },
    }


def reasons(found: Backlog, batch: str, scorer: str) -> dict[str, int]:
    """Rows by reason of a batch in a column; new cells whose images replaced others are told apart."""
    column = column_of(scorer)
    rows = found.stale.get(batch, {}).get(column, {})
    if (batch, column) not in found.replaced:
        return rows
    return {"image" if reason == "new" else reason: count for reason, count in rows.items()}


def _column(found: Backlog, scorer: str) -> dict[str, Any]:
    rows: dict[str, int] = {}
    batches: list[str] = []
    for batch in found.stale:
        mine = reasons(found, batch, scorer)
        batches += [batch] if mine else []
        for reason, count in mine.items():
            rows[reason] = rows.get(reason, 0) + count
    return {"stale": {why: rows[why] for why in WORDS if why in rows}, "batches": batches}


def words(found: Mapping[str, Any]) -> list[str]:
    """The same for people."""
    rows = [
        [
            name,
            str(sum(one["stale"].values())),
            str(len(one["batches"])),
            ", ".join(f"{WORDS[why]} {count}" for why, count in one["stale"].items()) or "-",
            "paused" if one["paused"] else "",
        ]
        for name, one in found["columns"].items()
    ]
    head = f"{found['rows']} rows in {found['batches']} batches at table version {found['table_version']}"
    return [head, "", *aligned(["column", "stale", "batches", "why", ""], rows)]
