"""Labellers, writers and maintenance at once on one table."""

from __future__ import annotations

import pytest

from lance_assets.store.files import DataRoot
from lance_assets_tests.faults.compare import compare
from lance_assets_tests.faults.crowd import TYPED, crowd
from lance_assets_tests.faults.script import ROWS, Row, Step
from lance_assets_tests.faults.steps import identities, perform

SCORERS = {"sharp": "1", "words": "1"}
ALL = {**SCORERS, "calm": "1"}
BATCHES = ["batch-0", "batch-1"]
NEW = ["batch-2", "batch-3"]
TYPES = {"done", *(kind.__name__ for kind in TYPED)}


def slices(changed: int = 0) -> list[list[Row]]:
    """Three slices, in the first of which so many rows have another picture."""
    return [[(row, changed if row < changed else 0, 0) for row in range(at * ROWS, (at + 1) * ROWS)] for at in range(3)]


def label(scorers: dict[str, str], *batches: str) -> list[Step]:
    return [Step("label", batch, scorers=scorers) for batch in batches]


@pytest.mark.parametrize("place", ["local", "s3"])
def test_eight_labellers_an_appender_an_adder_a_replacer_and_maintenance_lose_nothing(place, request, tmp_path):
    base = DataRoot(tmp_path / "data") if place == "local" else DataRoot(f"{request.getfixturevalue('s3').uri}/crowd")
    root, twin = DataRoot(base.at("crowd")), DataRoot(tmp_path / "twin")
    for batch in BATCHES:
        perform(root, Step("store", batch, slices()), lambda what: None)
    rounds = 2 if root.is_local else 1
    mine = [BATCHES[n % 2 :] + BATCHES[: n % 2] for n in range(8)]
    roles = {
        **{f"labeller-{n}": label(SCORERS, *(rounds * mine[n] if root.is_local else mine[n][:1])) for n in range(8)},
        "appender": [Step("store", batch, slices()) for batch in NEW],
        "adder": [Step("column", scorers={name: "1"}) for name in ("calm", "loud", "late")],
        "replacer": [Step("replace", "batch-0", slices(changed)) for changed in range(1, 2 + rounds)],
        "compactor": rounds * [Step("compact")],
        "cleaner": rounds * [Step("cleanup")],
    }
    ended = crowd(root, roles, tmp_path, patience_s=150)
    untyped = {outcome for found in ended.values() for outcome in found} - TYPES
    assert not untyped, "\n".join(sorted(untyped))
    assert all(found[-1] == "done" for found in ended.values())
    for step in label(ALL, *BATCHES, *NEW):
        perform(root, step, lambda what: None)
    wanted = {"batch-0": slices(1 + rounds), "batch-1": slices(), "batch-2": slices(), "batch-3": slices()}
    for batch, rows in wanted.items():
        perform(twin, Step("store", batch, rows), lambda what: None)
    for name in ("loud", "late"):
        perform(twin, Step("column", scorers={name: "1"}), lambda what: None)
    for step in label(ALL, *wanted):
        perform(twin, step, lambda what: None)
    found = compare(root, twin, identities(Step("label", scorers=ALL)))
    assert not found, str(found)
