"""A batch replaced because a few of its images changed: what happens to the labels of the others."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from lance_assets.store.batches import replace_batch
from lance_assets.store.files import DataRoot
from lance_assets.store.table import ensure_images
from lance_assets_tests.bench.meter import measured
from lance_assets_tests.bench.passes import Pass
from lance_assets_tests.bench.report import Goal, Value
from lance_assets_tests.bench.simulated import COLUMNS, add_batch, written
from lance_assets_tests.bench.sizes import Say, Sizes

BATCH = "measured-00000000-0-1"
#: Of so many rows one changes.
EVERY = 100


def one_batch(folder: Path, sizes: Sizes, say: Say) -> tuple[list[dict[str, Value]], list[Goal]]:
    """Changed rows lie in every fragment, so that none is kept as it is."""
    root, label = DataRoot(folder / "carried"), Pass(DataRoot(folder / "carried"))
    ensure_images(root)
    add_batch(root, BATCH, sizes.carried, sizes.large_fragment)
    first = measured(root, lambda: label(BATCH))
    before = label.calls
    changed = range(0, sizes.carried, EVERY)
    new = written(root, BATCH, sizes.carried, sizes.large_fragment, changed)
    carry = measured(root, lambda: replace_batch(root, BATCH, new, {}))
    during = label.calls - before
    again = measured(root, lambda: label(BATCH))
    after = label.calls - before - during
    say(f"replaced a batch of {sizes.carried:,} rows of which {len(changed)} had changed, {carry.wall_s:.2f} s")
    case = f"{sizes.carried:,} rows x {len(COLUMNS)}"
    rows: list[dict[str, Value]] = [
        {"what": "label a new batch", "case": case, **asdict(first), "calls": before},
        {"what": "replace it, 1 % of its images changed", "case": case, **asdict(carry), "calls": during},
        {"what": "label it again", "case": case, **asdict(again), "calls": after},
    ]
    return rows, [
        Goal("carry_scorer_calls", during, 0),
        Goal("carry_next_pass_calls_beyond_changed_rows", abs(after - len(changed) * len(COLUMNS)), 0),
    ]
