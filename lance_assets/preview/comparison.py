"""What became of labels when another version of their scorer replaced them, as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lance_assets.preview.sheet import escaped

#: Names of a report and what they mean, in the order of reading.
LINES = (
    ("rows", "rows compared"),
    ("same", "share with the same label"),
    ("mean_shift", "mean of new - old"),
    ("psi", "population stability index"),
    ("correlation", "correlation of old and new"),
    ("crossed_out", "fell out of the filter"),
    ("crossed_in", "came into the filter"),
    ("crossing_share", "share that crossed"),
    ("lost_label", "lost their label"),
)


def comparison_markdown(report: Mapping[str, Any]) -> str:
    """A report of store.trials with its limits; texts in it are escaped."""
    limits = report.get("limits", {})
    lines = ["| | found | limit |", "| --- | --: | --: |"]
    for name, means in LINES:
        if name in report:
            lines.append(f"| {means} | {report[name]:g} | {_limit(name, limits.get(name))} |")
    nothing = "it names the column, but no comparison with a number or a text was found"
    compared = ", ".join(report.get("thresholds", ())) or (
        nothing if report.get("no_threshold") else "none for this column"
    )
    return "\n".join([*lines, "", f"Thresholds of sft.filter: {escaped(compared)}"]) + "\n"


def _limit(name: str, limit: float | None) -> str:
    sign = ">=" if name == "correlation" else "<="
    return "" if limit is None else f"{escaped(sign)} {limit:g}"
