"""What became of labels when another version of their scorer replaced them, as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lance_assets.preview.sheet import escaped

#: Names of a report and what they mean, in the order of reading.
LINES = (
    ("rows", "rows compared"),
    ("psi", "population stability index"),
    ("correlation", "correlation of old and new"),
    ("same", "share of rows with the same label"),
    ("mean_shift", "mean of new - old"),
    ("crossed_out", "rows that fell out of the filter"),
    ("crossed_in", "rows that came into the filter"),
    ("crossing_share", "share of rows that crossed"),
    ("without_label_before", "rows without a label before"),
    ("without_label_now", "rows of the batch without a label now"),
)


def comparison_markdown(report: Mapping[str, Any]) -> str:
    """A report of store.trials with its limits; texts in it are escaped."""
    limits = report.get("limits", {})
    lines = ["| | found | limit |", "| --- | --: | --: |"]
    for name, means in LINES:
        if name in report:
            lines.append(f"| {means} | {report[name]:g} | {_limit(limits.get(name))} |")
    compared = ", ".join(report.get("thresholds", ())) or "none that can be read from sft.filter"
    return "\n".join([*lines, "", f"Thresholds: {escaped(compared)}"]) + "\n"


def _limit(limit: float | None) -> str:
    return "" if limit is None else f"{limit:g}"
