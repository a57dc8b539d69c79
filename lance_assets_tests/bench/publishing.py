"""Stage and commit of one column of one fragment, in tables of few and of many fragments."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import lance
import numpy as np

from lance_assets.store.cells import Cells
from lance_assets.store.files import DataRoot
from lance_assets.store.staging import publish, stage
from lance_assets.store.table import batch_fragments, open_images
from lance_assets_tests.bench.meter import Cost, measured, median
from lance_assets_tests.bench.report import Goal, Value
from lance_assets_tests.bench.simulated import COLUMNS, add_batch, fill
from lance_assets_tests.bench.sizes import MEASURED, Say, Sizes

BATCH = "measured-00000000-0-1"
STEPS = (
    "open, as a new process",
    "open, after a commit",
    "find the fragments of a batch",
    "stage and commit one column file",
)
COMMIT = STEPS[-1]


def one_fragment(folder: Path, sizes: Sizes, say: Say) -> tuple[list[dict[str, Value]], list[Goal]]:
    """The goals count what one column file costs in a table that is open: staging, committing, verifying; on a machine
    with other work trust the CPU's clock. What opening costs, where nobody has read the manifest and where only the
    last commit is new, stands beside it."""
    roots = {count: DataRoot(folder / f"fragments-{count}") for count in sizes.fragments}
    targets: dict[int, int] = {}
    for count, root in roots.items():
        fill(root, count - 1, 1, 2, COLUMNS[:1])
        add_batch(root, BATCH, MEASURED, MEASURED)
        [targets[count]] = batch_fragments(open_images(root), BATCH)
    costs: dict[tuple[str, int], list[Cost]] = {(step, count): [] for step in STEPS for count in roots}
    for turn in range(sizes.commits):
        for count, root in roots.items():
            acts = (
                lambda root=root: lance.dataset(root.images),
                lambda root=root: open_images(root),
                lambda root=root: batch_fragments(open_images(root), BATCH),
                lambda root=root, number=targets[count], turn=turn: _publish(root, number, turn),
            )
            for step, act in zip(STEPS, acts, strict=True):
                costs[step, count].append(measured(root, act, files=turn == sizes.commits - 1))
    say(f"staged and committed {sizes.commits} times in tables of {', '.join(map(str, roots))} fragments")
    medians = {key: median(many) for key, many in costs.items()}
    rows: list[dict[str, Value]] = [
        {"what": step, "case": f"in {count:,} fragments", **asdict(cost)} for (step, count), cost in medians.items()
    ]
    few, many = (medians[COMMIT, count] for count in (min(roots), max(roots)))
    return rows, [
        Goal("stage_and_commit_seconds_most_over_fewest_fragments", many.wall_s / few.wall_s, 3),
        Goal("stage_and_commit_cpu_seconds_most_over_fewest_fragments", many.cpu_s / few.cpu_s, 3),
    ]


def _publish(root: DataRoot, number: int, turn: int) -> None:
    values = np.random.default_rng(turn).uniform(0, 100, MEASURED).astype(np.float32)
    cells = Cells.of(values, np.zeros(MEASURED, np.uint8))
    publish(root, [stage(root, open_images(root), number, COLUMNS[0], cells)], {})
