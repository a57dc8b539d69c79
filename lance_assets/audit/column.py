"""`audit column`: who made the cells of a score column, and which of its rows lack a score or an explanation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lance_assets.audit.text import aligned, labelled, when
from lance_assets.errors import BadInput
from lance_assets.store.columns import CellState, column_of, score_columns, scorer_of
from lance_assets.store.files import DataRoot
from lance_assets.store.makers import Maker, explain_column
from lance_assets.store.table import open_images

STATES = [state.name.lower() for state in CellState]


def audit_column(root: DataRoot, name: str) -> dict[str, Any]:
    """Plain data about a score column, named by itself or by its scorer. Raises BadInput for another one."""
    column = column_named(root, name)
    said = explain_column(root, column)
    return {
        "column": column,
        "type": str(said.type),
        "table": root.images,
        "table_version": said.table_version,
        "rows": said.rows,
        "never_scored": said.never,
        "unexplained": sum(gap.rows for gap in said.gaps),
        "unexplained_in": [vars(gap) for gap in said.gaps],
        "damaged": said.damaged,
        "transient_due": said.due,
        "next_due": when(said.next_due),
        "makers": [_maker(maker) for maker in said.makers],
    }


def column_named(root: DataRoot, name: str) -> str:
    """The score column of this name, or of this scorer. Raises BadInput where there is none."""
    there = score_columns(open_images(root).schema)
    column = next((column for column in (name, column_of(name)) if column in there), None)
    if column is None:
        known = ", ".join(map(scorer_of, there)) or "none yet"
        raise BadInput(f"there is no score column {name!r} at {root.uri}: there are {known}")
    return column


def _maker(maker: Maker) -> dict[str, Any]:
    return {
        "scorer": maker.scorer,
        "version": maker.version,
        "config_hash": maker.config_hash,
        "rows": {state.name.lower(): count for state, count in maker.rows.items()},
        "carried": maker.carried,
        "batches": list(maker.batches),
        "runs": list(maker.runs),
        "first": when(maker.first),
        "last": when(maker.last),
    }


def words(found: Mapping[str, Any]) -> list[str]:
    """The same for people."""
    later = f", more at {found['next_due']}" if found["next_due"] else ""
    lines = labelled(
        [
            ("column", f"{found['column']}, {found['type']}"),
            ("rows", f"{found['rows']} at table version {found['table_version']}"),
            ("never", f"{found['never_scored']} never scored"),
            ("retry", f"{found['transient_due']} transient failures due now{later}"),
        ]
    )
    if found["damaged"]:
        lines += labelled([("DAMAGED", f"{found['damaged']} in files in which verify found something wrong")])
    for gap in found["unexplained_in"]:
        where = f"{gap['rows']} cells of batch {gap['batch']}, fragment {gap['fragment']}, file {gap['file']}"
        lines += labelled([("UNEXPLAINED", f" {where}: the ledger does not know who made them")])
    header = ["scorer", "version", "config", *STATES, "moved", "batches", "runs", "first", "last"]
    rows = [
        [
            *(one[name] for name in ("scorer", "version")),
            one["config_hash"][:12],
            *(str(one["rows"][state]) for state in STATES),
            *(str(count) for count in (one["carried"], len(one["batches"]), len(one["runs"]))),
            *(one[name] for name in ("first", "last")),
        ]
        for one in found["makers"]
    ]
    return [*lines, "", *aligned(header, rows)]
