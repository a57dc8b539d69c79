"""One batch that is labelled over Ray, and whether it was labelled right."""

from lance_assets.compute.label_models import label_with_models
from lance_assets.store.columns import column_of, state_of
from lance_assets.store.makers import explain_column
from lance_assets.store.table import open_images

ROWS, FRAGMENTS = 48, 4
LIGHT = ["sharpness", "caption_quality"]


def quiet(_: str) -> None:
    """Progress that nobody reads."""


def labelled(root, home, scorer, run="run"):
    return next(iter(label_with_models(root, ["a"], {scorer.name: scorer}, run, quiet, home)))


def complete(root, scorer) -> bool:
    """Every cell has its value, and one ledger row explains it."""
    column = column_of(scorer.name)
    table = open_images(root).to_table(columns=["id", column, state_of(column)]).to_pylist()
    right = all(row[column] == len(row["id"]) and row[state_of(column)] == 0 for row in table)
    said = explain_column(root, column)
    return len(table) == ROWS and right and not said.never and not said.gaps
