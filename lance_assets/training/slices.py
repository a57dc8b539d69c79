"""An evaluation by kind of row: batch, length of the caption, band of each score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: Bands are thirds of the held-out rows; fewer rows than this have none.
BANDS, FEWEST = ("low", "middle", "high"), 9


@dataclass(frozen=True)
class Measured:
    """One held-out row: where it comes from, and the loss (nats per answer token) of base and tuned model on it.
    `right` = share of its facts that the tuned model states right; None where its caption states none."""

    batch: str
    words: int
    base: float
    tuned: float
    right: float | None = None
    scores: Mapping[str, float | None] = field(default_factory=dict)


def by_slice(rows: Sequence[Measured]) -> list[dict[str, Any]]:
    """[{"by", "value", "rows", "loss_base", "loss_tuned", "facts_right"}]: each batch, then thirds by length of the
    caption (words) and by each numeric score; means over rows. A score that has one value only makes no bands."""
    found = [("batch", batch, [row for row in rows if row.batch == batch]) for batch in sorted({r.batch for r in rows})]
    found += _thirds("words", rows, [row.words for row in rows])
    for name in sorted({name for row in rows for name in row.scores}):
        found += _thirds(name, rows, [row.scores.get(name) for row in rows])
    return [_summary(by, value, members) for by, value, members in found]


def _thirds(
    by: str, rows: Sequence[Measured], values: Sequence[float | None]
) -> Iterator[tuple[str, str, list[Measured]]]:
    known = [(value, row) for value, row in zip(values, rows, strict=True) if value is not None]
    numbers = np.array([value for value, _ in known], dtype=np.float64)
    if len(known) < FEWEST or numbers.min() == numbers.max():
        return
    bounds = np.quantile(numbers, [1 / 3, 2 / 3])
    band = np.searchsorted(bounds, numbers, side="left")
    for number, name in enumerate(BANDS):
        members = [row for (_, row), at in zip(known, band, strict=True) if at == number]
        if members:
            inside = numbers[band == number]
            yield by, f"{name}, {inside.min():.4g} to {inside.max():.4g}", members


def _summary(by: str, value: str, rows: Sequence[Measured]) -> dict[str, Any]:
    stated = [row.right for row in rows if row.right is not None]
    return {
        "by": by,
        "value": value,
        "rows": len(rows),
        "loss_base": round(float(np.mean([row.base for row in rows])), 4),
        "loss_tuned": round(float(np.mean([row.tuned for row in rows])), 4),
        "facts_right": round(float(np.mean(stated)), 3) if stated else None,
    }
