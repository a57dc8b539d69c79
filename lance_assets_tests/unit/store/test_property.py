"""Whatever happens to the store, in whatever order: each cell is scored exactly as often as it became stale."""

from __future__ import annotations

import numpy as np
import pytest

from lance_assets.store.files import DataRoot
from lance_assets_tests.unit.store.scenes import PERMANENT, REFUSED, TRANSIENT
from lance_assets_tests.unit.store.walk import WEIGHTS, Walk

STEPS, SEEDS, SEEDS_ON_S3 = 12, 30, 2


@pytest.mark.parametrize(
    ("root", "seed"),
    [("local", seed) for seed in range(SEEDS)] + [("s3", seed) for seed in range(SEEDS_ON_S3)],
    indirect=["root"],
)
def test_after_any_walk_each_cell_was_scored_as_often_as_it_became_stale(root: DataRoot, seed: int):
    random = np.random.default_rng(seed)
    walk = Walk(root, random)
    walk.append()
    chances = np.array([*WEIGHTS.values()]) / sum(WEIGHTS.values())
    for number in range(STEPS):
        step = str(random.choice([*WEIGHTS], p=chances))
        if step in ("label", "kill"):
            walk.failing = float(random.choice([0, 0.4]))
            # After a kill, a fragment of which every row had failed for good is scored again: none fails for good then.
            walk.failures = (TRANSIENT, REFUSED) if step == "kill" else (TRANSIENT, PERMANENT, REFUSED)
            walk.label(killed=step == "kill")
        else:
            getattr(walk, step)()
        walk.check()
        if number % 6 == 5:
            walk.quiet()
