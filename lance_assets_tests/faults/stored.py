"""A small table to hinder: what is stored before, and each kind of step that may be hindered."""

from __future__ import annotations

from lance_assets.store.files import DataRoot
from lance_assets_tests.faults.script import ROWS, Row, Step
from lance_assets_tests.faults.steps import perform

BATCH = "batch-0"


def slices(changed: int = 0) -> list[list[Row]]:
    """Two slices; so many rows of the first have another picture."""
    return [[(row, changed, 0) if row < changed else (row, 0, 0) for row in range(at, at + ROWS)] for at in (0, ROWS)]


LABEL = Step("label", BATCH, scorers={"sharp": "1"})
BEFORE = (Step("store", BATCH, slices()), LABEL)
STEPS = {
    "store": Step("store", "batch-1", slices()),
    "label": Step("label", BATCH, scorers={"sharp": "2", "words": "1"}),
    "replace": Step("replace", BATCH, slices(2)),
    "column": Step("column", scorers={"calm": "1"}),
    "compact": Step("compact"),
    "merge": Step("merge"),
}


def done(root: DataRoot, *steps: Step) -> DataRoot:
    for step in steps:
        perform(root, step, lambda what: None)
    return root
