"""Rows that could not be stored, as a Markdown table: there is no picture of them to show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lance_assets.preview.sheet import BREAK, escaped

#: So many reasons are shown; the numbers of all of them stand beside the table.
REASONS = 6
ADDRESS, DETAIL = 24, 56
"""Characters of an address and of a detail: the table is to fit into its place on the page."""


def rejects_markdown(rejects: Sequence[Mapping[str, Any]]) -> str:
    """One line for each reason, most frequent first: how many rows, whether they may go better next time, and one of
    them. A row is {"reason", "transient", "image_url", "detail"}; texts in it are untrusted and escaped."""
    if not rejects:
        return "*none*"
    by_reason: dict[str, list[Mapping[str, Any]]] = {}
    for row in rejects:
        by_reason.setdefault(str(row["reason"]), []).append(row)
    lines = ["| why | rows | for example |", "| --- | --: | --- |"]
    for reason, rows in sorted(by_reason.items(), key=lambda pair: -len(pair[1]))[:REASONS]:
        again = "may pass" if rows[0]["transient"] else "final"
        shown = ": ".join(filter(None, (_end(rows[0]["image_url"]), escaped(str(rows[0]["detail"] or ""), DETAIL))))
        lines.append(f"| {escaped(reason)} ({again}) | {len(rows)} | {shown} |")
    return "\n".join(lines) + "\n"


def _end(address: Any) -> str:
    """The end of an address tells rows apart. It may break at its slashes, and is no link: nobody vouches for it."""
    text = str(address or "")
    return escaped(text if len(text) <= ADDRESS else f"…{text[1 - ADDRESS :]}", ADDRESS).replace("/", f"/{BREAK}")
