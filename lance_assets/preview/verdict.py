"""What an evaluation found, as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lance_assets.preview.sheet import escaped

ANSWER = 300


def facts_markdown(facts: Mapping[str, Mapping[str, Any]]) -> str:
    """Share of rows on which each fact was stated right: by the tuned model with its image, a blank one, another row's
    image, and by always saying the commonest answer; `reads` is whether it beats all of them beyond chance."""
    if not facts:
        return "*the captions state no fact that is known how to check*"
    kinds = ("tuned", "blank", "other", "majority")
    lines = [
        [name, f"{one['rows']}", *(f"{one[kind]:.0%}" for kind in kinds), "yes" if one["reads"] else "no"]
        for name, one in facts.items()
    ]
    return _table(["fact", "rows", "tuned", "blank image", "another image", "commonest answer", "reads it"], lines)


def against_base_markdown(result: Mapping[str, Any]) -> str:
    """Base against tuned in one small table, and whether the tuned one is better."""
    loss, overlap = result["loss"], result["overlap"]
    lines = [
        [
            "loss, nats per token, lower is better",
            f"{loss['base']:.3f}",
            f"{loss['tuned']:.3f}",
            _won(result["beats_base"]),
        ],
        [
            "overlap with the caption, ROUGE-L",
            f"{overlap['base']:.3f}",
            f"{overlap['tuned']:.3f}",
            _won(overlap["tuned"] > overlap["base"]),
        ],
    ]
    return _table([f"{result['rows']} held-out rows", "base", "tuned", "better"], lines)


def _won(better: bool) -> str:
    return "**yes**" if better else "no"


def slices_markdown(slices: Sequence[Mapping[str, Any]]) -> str:
    """Loss (nats per token) of base and tuned model and share of facts right, by kind of row."""
    lines = [
        [
            *(escaped(one[name]) for name in ("by", "value")),
            f"{one['rows']}",
            *(f"{one[name]:.3f}" for name in ("loss_base", "loss_tuned")),
            "-" if one["facts_right"] is None else f"{one['facts_right']:.0%}",
        ]
        for one in slices
    ]
    return _table(["rows by", "", "rows", "loss of base", "loss of tuned", "facts right"], lines)


def examples_markdown(examples: Sequence[Mapping[str, str]]) -> str:
    """Truth, answer of the base and of the tuned model for a few held-out rows; texts are untrusted and escaped."""
    lines = [[escaped(example[kind], ANSWER) for kind in ("truth", "base", "tuned")] for example in examples]
    return _table(["truth", "base", "tuned"], lines)


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows) + "\n"
