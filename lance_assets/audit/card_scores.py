"""The part of the data card about a score column: who made it, how its values are distributed, what failed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import lance
import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike

from lance_assets.audit.column import audit_column
from lance_assets.store.columns import is_number
from lance_assets.store.files import DataRoot

BARS = 24
#: Values of a column that holds no numbers are counted; so many of them are named.
NAMED = 10


def card_score(root: DataRoot, dataset: lance.LanceDataset, column: str) -> dict[str, Any]:
    """Makers and failures as `audit column` gives them, and numbers, or the commonest values of other types (structs
    and lists have none)."""
    said = audit_column(root, column)
    names = ("scorer", "version", "config_hash", "rows", "last")
    states = Counter[str]()
    for maker in said["makers"]:
        states.update(maker["rows"])
    type = dataset.schema.field(column).type
    found: dict[str, Any] = {
        "column": column,
        "type": str(type),
        "makers": [{name: maker[name] for name in names} for maker in said["makers"]],
        "states": {state: count for state, count in states.items() if count},
        "never_scored": said["never_scored"],
        "numbers": None,
        "values": None,
    }
    if is_number(type):
        values = dataset.to_table(columns=[column])[column].to_numpy()
        found["numbers"] = quantiles(values) | histogram(values)
    elif not pa.types.is_nested(type):
        values = dataset.to_table(columns=[column])[column].value_counts().to_pylist()
        commonest = sorted((one for one in values if one["values"] is not None), key=lambda one: -one["counts"])
        found["values"] = {str(one["values"]): one["counts"] for one in commonest[:NAMED]}
    return found


def quantiles(values: ArrayLike) -> dict[str, float | int | None]:
    """count, mean, min, p05, p50, p95, max over the finite values; None where there is none."""
    known = _finite(values)
    if not len(known):
        return {"count": 0, **dict.fromkeys(("mean", "min", "p05", "p50", "p95", "max"))}
    p05, p50, p95 = np.percentile(known, [5, 50, 95])
    said = {"mean": known.mean(), "min": known.min(), "p05": p05, "p50": p50, "p95": p95, "max": known.max()}
    return {"count": len(known), **{name: round(float(value), 4) for name, value in said.items()}}


def histogram(values: ArrayLike) -> dict[str, Any]:
    """BARS counts over [low, high]: 0..100 where all values lie there, as most scores do, else their own range."""
    known = _finite(values)
    if not len(known):
        return {"low": 0.0, "high": 100.0, "bars": [0] * BARS}
    low, high = float(known.min()), float(known.max())
    if low >= 0 and high <= 100:
        low, high = 0.0, 100.0
    high = high if high > low else low + 1
    return {"low": low, "high": high, "bars": np.histogram(known, bins=BARS, range=(low, high))[0].tolist()}


def _finite(values: ArrayLike) -> np.ndarray:
    numbers = np.asarray(values, np.float64)
    return numbers[np.isfinite(numbers)]
