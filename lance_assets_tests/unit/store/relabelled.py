"""Two batches whose labels another version of a scorer replaces, and the report about them."""

from dataclasses import replace

import numpy as np

from lance_assets.store.cells import Cells
from lance_assets.store.moved import Limits
from lance_assets.store.trials import judge
from lance_assets_tests.labels import SHARP

A, B, ROWS = "a", "b", 40
COLUMN = SHARP.column
LIMITS = Limits(psi=0.25, crossing_share=0.05, filter=f"{COLUMN} >= 50")
SECOND, THIRD = replace(SHARP, version="2"), replace(SHARP, version="3")


def scores(add, shuffled=False):
    """A scorer that gives row 0..39 of a batch 30..69 (or 69..30), and more."""

    def cells(identity, rows):
        numbers = [int(id.split("/")[1]) for id in rows["id"].to_pylist()]
        values = [30 + add + (39 - number if shuffled else number) for number in numbers]
        return Cells.of(np.array(values, float), np.zeros(len(values), np.uint8))

    return cells


def judged(root, batch=A):
    """The report of a batch of which labels were replaced."""
    report = judge(root, COLUMN, batch, LIMITS)
    assert report is not None
    return report
