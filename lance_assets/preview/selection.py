"""What a training set is, as Markdown: few words that fit on the first screen of its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lance_assets.preview.sheet import escaped

#: Of a config hash; more of them would make the table wider than its place on the page.
DIGITS = 8


def selection_markdown(manifest: Mapping[str, Any]) -> str:
    """Rows by side, the filter, what was left out, and the Lance version with its tag."""
    rows, filter = manifest["rows"], manifest["filter"]
    lines = [
        f"**{rows['train']} rows train, {rows['test']} are held out**, of Lance version {manifest['version']}, "
        f"which the tag {escaped(manifest['tag'])} keeps for good.",
        f"Filter: `{str(filter).replace('`', ' ')}`" if filter else "No filter: every row.",
    ]
    left_out = {reason: count for reason, count in manifest.get("excluded", {}).items() if count}
    if left_out:
        lines.append("Left out: " + ", ".join(f"{count} {escaped(reason)}" for reason, count in left_out.items()) + ".")
    return "\n\n".join(lines) + "\n"


def makers_markdown(scorers: Mapping[str, Sequence[Mapping[str, str]]]) -> str:
    """Which version and config made the labels of each column."""
    lines = ["| column | version | config |", "| --- | --- | --- |"]
    lines += [
        f"| {escaped(column)} | {escaped(made['version'])} | {escaped(made['config_hash'][:DIGITS])} |"
        for column, makers in scorers.items()
        for made in makers
    ]
    return "\n".join(lines) + "\n"


def promotions_markdown(promotions: Sequence[Mapping[str, Any]]) -> str:
    """Who accepted labels that moved further than allowed, newest first."""
    lines = ["| column | when | who | why | batches |", "| --- | --- | --- | --- | --: |"]
    for one in reversed(promotions):
        texts = [escaped(str(one[name])) for name in ("column", "time", "by", "reason")]
        lines.append("| " + " | ".join([*texts, str(len(one["verdicts"]))]) + " |")
    return "\n".join(lines) + "\n"
