"""The scalars that every score column reports under the same names, so that the UI plots them side by side."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike


def score_numbers(values: ArrayLike, states: Iterable[float | None]) -> dict[str, float | int]:
    """mean, p05, p50, p95 (over scored rows, absent when there are none), null_fraction, rows and failed.

    `values`: scores, NaN where there is none. `states`: 0 = ok, other numbers = failed; NaN or None = never scored.
    `null_fraction` counts failed and never scored rows alike, 0..1; `failed` counts the failed ones.
    """
    scores = np.asarray(values, dtype=np.float64)
    known = np.array([np.nan if state is None else state for state in states], dtype=np.float64)
    scored = scores[np.isfinite(scores)]
    numbers: dict[str, float | int] = {}
    if len(scored):
        p05, p50, p95 = np.percentile(scored, [5, 50, 95])
        numbers = {"mean": float(scored.mean()), "p05": float(p05), "p50": float(p50), "p95": float(p95)}
        numbers = {name: round(number, 4) for name, number in numbers.items()}
    null_fraction = round(1 - len(scored) / len(scores), 6) if len(scores) else 0.0
    failed = int(np.count_nonzero(np.isfinite(known) & (known != 0)))
    return {**numbers, "null_fraction": null_fraction, "rows": len(scores), "failed": failed}
