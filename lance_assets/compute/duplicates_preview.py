"""What people see of the duplicates of a batch: numbers, how near they are, and a few pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lance_assets.compute.preview import rows_by_id
from lance_assets.ingest.conversation import caption_of
from lance_assets.preview.sheet import contact_sheet
from lance_assets.store.columns import state_of
from lance_assets.store.duplicates import COLUMN, Pair
from lance_assets.store.files import DataRoot
from lance_assets.store.table import of_batch, open_images

PAIRS = 4


def duplicate_numbers(root: DataRoot, batch: str) -> dict[str, Any]:
    """Of the cells as stored now: `exact` and `near` rows repeat an earlier one, `links_groups` may have to be left out
    of a split, `groups` are keys that the rows belong to, `null_fraction` has no cell. `distances`: bits, one per
    near-duplicate."""
    rows = open_images(root).to_table(columns=[COLUMN, state_of(COLUMN)], filter=of_batch(batch)).to_pylist()
    cells = [row[COLUMN] for row in rows if row[COLUMN] is not None]
    repeats = [cell for cell in cells if cell["first"] is not None]
    exact = sum(cell["exact"] for cell in repeats)
    return {
        "rows": len(rows),
        "exact": exact,
        "near": len(repeats) - exact,
        "groups": len({key for cell in cells for key in (cell["low"], cell["high"])}),
        "links_groups": sum(cell["low"] != cell["high"] for cell in cells),
        "flat": sum(cell["hash"] is None for cell in cells),
        "failed": sum(row[state_of(COLUMN)] not in (0, None) for row in rows),
        "null_fraction": round(1 - len(cells) / len(rows), 6) if rows else 0.0,
        "distances": np.array([cell["distance"] for cell in repeats if not cell["exact"]]),
    }


def pairs_sheet(root: DataRoot, pairs: Sequence[Pair]) -> str:
    """Contact sheet of a few rows, each after the first of its like: the nearest near-duplicates, the farthest, then
    exact ones."""
    near = sorted((pair for pair in pairs if not pair.exact), key=lambda pair: pair.distance)
    half = PAIRS // 2
    chosen = [*(near if len(near) <= PAIRS else near[:half] + near[-half:]), *(pair for pair in pairs if pair.exact)]
    chosen = chosen[:PAIRS]
    rows = rows_by_id(open_images(root), list({row for pair in chosen for row in (pair.first, pair.row)}))
    notes = [
        (row, note)
        for pair in chosen
        for row, note in ((pair.first, "first"), (pair.row, "exact" if pair.exact else f"{pair.distance} bits from it"))
    ]
    return contact_sheet(
        [
            {"image": rows[row]["image"], "caption": caption_of(rows[row]["messages"]), "note": note}
            for row, note in notes
            if row in rows  # the first may have been replaced since
        ]
    )
