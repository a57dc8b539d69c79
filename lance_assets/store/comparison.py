"""Labels before against labels after, of the same rows: pure functions over plain values, None = no label."""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

#: Deciles are usual for the population stability index.
BINS = 10
#: With fewer rows the index says nothing: one row would be a twentieth of the distribution.
MIN_ROWS = 20
#: So many rows that moved farthest are kept for people to look at.
MOVES = 8

SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "<>": operator.ne,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_MIRRORED = {">=": "<=", "<=": ">=", ">": "<", "<": ">"}
_SIGN = "|".join(map(re.escape, SIGNS))
_VALUE = r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|'[^']*'"

Threshold = tuple[str, Any]
"""A comparison of a label in a filter: its sign, and what it is compared with."""


def psi(before: Sequence[Any], after: Sequence[Any], bins: int = BINS) -> float:
    """Population stability index of two samples: the sum over bins of (share after - share before) x ln(share after /
    share before), 0 = the same distribution.

    Below 0.1 little moved, above 0.25 it is another population (N. Siddiqi, Credit Risk Scorecards, Wiley 2006). Bins
    are quantiles of `before`, or the values where they are few or texts; an empty one counts as half a row.
    """
    if not len(before) or not len(after):
        return 0.0
    counts = _by_value(before, after, bins) or _by_quantile(before, after, bins)
    old, new = (np.maximum(one, 0.5) / total for one, total in zip(counts, (len(before), len(after)), strict=True))
    return float(np.sum((new - old) * np.log(new / old)))


def _by_value(before: Sequence[Any], after: Sequence[Any], bins: int) -> list[np.ndarray] | None:
    kinds = set(before) | set(after)
    if len(kinds) > bins:
        if not isinstance(before[0], str):
            return None
        kinds = {text for text, _ in Counter(before).most_common(bins)}
    tables = [Counter(value if value in kinds else None for value in one) for one in (before, after)]
    shown = [*kinds, *([None] if any(None in table for table in tables) else [])]
    return [np.array([table[kind] for kind in shown], float) for table in tables]


def _by_quantile(before: Sequence[Any], after: Sequence[Any], bins: int) -> list[np.ndarray]:
    edges = np.unique(np.quantile(np.asarray(before, float), np.linspace(0, 1, bins + 1)[1:-1]))
    places = [np.searchsorted(edges, np.asarray(one, float), side="right") for one in (before, after)]
    return [np.bincount(one, minlength=len(edges) + 1).astype(float) for one in places]


def thresholds(filter: str | None, column: str) -> list[Threshold]:
    """The comparisons of a column with a number or a text in Lance SQL: `column >= 40`, `40 <= column`, `column BETWEEN
    1 AND 2`. What compares it in another way (a function, another column) is not found."""
    found: list[Threshold] = []
    name = rf"(?<![\w.]){re.escape(column)}(?![\w.])"
    for sign, value in re.findall(rf"{name}\s*({_SIGN})\s*({_VALUE})", filter or ""):
        found.append((sign, _value(value)))
    for value, sign in re.findall(rf"({_VALUE})\s*({_SIGN})\s*{name}", filter or ""):
        found.append((_MIRRORED.get(str(sign), str(sign)), _value(value)))
    for low, high in re.findall(rf"{name}\s+between\s+({_VALUE})\s+and\s+({_VALUE})", filter or "", re.IGNORECASE):
        found += [(">=", _value(low)), ("<=", _value(high))]
    return found


def named_in(filter: str | None, columns: Sequence[str]) -> list[str]:
    """The columns that a filter speaks of."""
    words = set("".join(c if c.isalnum() or c == "_" else " " for c in filter or "").split())
    return [column for column in columns if column in words]


def _value(text: str) -> Any:
    return text[1:-1] if text.startswith("'") else float(text)


def crossings(before: Sequence[Any], after: Sequence[Any], limits: Sequence[Threshold]) -> tuple[int, int]:
    """How many rows some comparison held for before and not after, and the other way round: (lost, won). It does not
    hold for a row without a label."""
    lost = won = 0
    for old, new in zip(before, after, strict=True):
        held = [(_holds(old, limit), _holds(new, limit)) for limit in limits]
        lost += any(was and not now for was, now in held)
        won += any(now and not was for was, now in held) and not any(was and not now for was, now in held)
    return lost, won


def _holds(label: Any, limit: Threshold) -> bool:
    sign, value = limit
    return label is not None and isinstance(label, str) == isinstance(value, str) and SIGNS[sign](label, value)


def agreement(before: Sequence[Any], after: Sequence[Any]) -> dict[str, float]:
    """`same`: share of rows whose label did not change (floats to six digits); for numbers also the Pearson
    `correlation` (absent where one side is constant) and `mean_shift`."""
    if not len(before):
        return {}
    if isinstance(before[0], str):
        return {"same": float(np.mean([old == new for old, new in zip(before, after, strict=True)]))}
    old, new = np.asarray(before, float), np.asarray(after, float)
    told = {"same": float(np.isclose(old, new, rtol=1e-6, atol=1e-9).mean()), "mean_shift": float((new - old).mean())}
    if old.std() and new.std():
        told["correlation"] = float(np.corrcoef(old, new)[0, 1])
    return told


def largest_moves(before: Sequence[Any], after: Sequence[Any], count: int = MOVES) -> list[int]:
    """Positions of the rows that changed most, farthest first; lost and won labels come first."""

    def moved(at: int) -> float:
        old, new = before[at], after[at]
        if old is None or new is None or isinstance(old, str):
            return 0.0 if old == new else float("inf")
        return abs(new - old)

    order = sorted(range(len(before)), key=moved, reverse=True)
    return [at for at in order[:count] if moved(at) > 0]
