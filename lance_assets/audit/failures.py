"""`audit failures`: the rows of a score column that have no value, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from lance_assets.audit.column import STATES, column_named
from lance_assets.audit.text import aligned, labelled, shown, some, when
from lance_assets.store.columns import state_of
from lance_assets.store.failures import failures
from lance_assets.store.files import DataRoot
from lance_assets.store.table import open_images

LONGEST = 100


def audit_failures(root: DataRoot, name: str) -> dict[str, Any]:
    """Plain data about the failed rows of a score column, newest first. Raises BadInput for another name."""
    column = column_named(root, name)
    failed = open_images(root).to_table(columns=["batch"], filter=f"{state_of(column)} > 0")
    found = failures(root, column, sorted(set(failed["batch"].to_pylist())))
    rows = [_row(one) for one in found.sort_by([("time", "descending"), ("id", "ascending")]).to_pylist()]
    return {"column": column, "failed": dict(Counter(row["state"] for row in rows)), "rows": rows}


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    return {**one, "state": STATES[one["state"]], "time": when(one["time"])}


def words(found: Mapping[str, Any]) -> list[str]:
    """The same for people: how often which message, then rows."""
    rows = found["rows"]
    said = ", ".join(f"{count} {state}" for state, count in found["failed"].items()) or "none"
    lines = labelled([("column", found["column"]), ("failed", said)])
    if not rows:
        return lines
    messages = Counter((row["state"], row["message"]) for row in rows).most_common(10)
    lines += ["", *aligned(["rows", "state", "message"], [[str(n), *map(_text, what)] for what, n in messages])]
    header = ["row", "batch", "state", "attempts", "last tried", "message"]
    table = [
        [*(_text(row[name]) for name in ("id", "batch", "state", "attempts", "time")), _text(row["message"])]
        for row in rows
    ]
    return [*lines, "", *some(header, table)]


def _text(value: Any) -> str:
    return shown(value, LONGEST)
