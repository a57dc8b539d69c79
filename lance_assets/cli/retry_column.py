"""`retry --column NAME`: cells that failed in passing (no answer, no memory, a spent budget) are scored again now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lance_assets.cli.run import say
from lance_assets.errors import BadInput
from lance_assets.settings import Platform

if TYPE_CHECKING:
    from lance_assets.store.files import DataRoot


def retry_column(platform: Platform, name: str) -> dict[str, Any]:
    """Scores the batches in which cells of a column failed in passing. Cells that failed for good or were refused wait
    for another version of the scorer, or another image. Raises BadInput for an unknown scorer."""
    from lance_assets.automation.dead_runs import reap
    from lance_assets.cli.runs import open_instance
    from lance_assets.cli.work import known_batches, register, score_again
    from lance_assets.compute.registry import active_scorers
    from lance_assets.store.columns import column_of
    from lance_assets.store.files import DataRoot

    scorers = active_scorers(platform)
    scorer = name.removeprefix("score_") if name not in scorers else name
    if scorer not in scorers:
        raise BadInput(f"--column {name}: there is no such score column; there are: {', '.join(scorers)}")
    root, column = DataRoot(platform.home.data), column_of(scorer)
    before = _failed(root, column)
    with open_instance(platform.home) as instance:
        reap(instance)
        keys = known_batches(platform, instance)
        register(instance, keys)
        batches = [key for key in keys if before[key]]
        say(f"{sum(before.values())} cells of {column} failed in passing, in {len(batches)} batches")
        work = score_again(platform, instance, keys, batches, scorer)
    return {
        "column": column,
        "tried": sum(before.values()),
        "left": sum(_failed(root, column).values()),
        "batches": batches,
        "run_ids": work.run_ids,
        "failed": work.failed,
    }


def _failed(root: DataRoot, column: str) -> Counter[str]:
    """How many cells of each batch failed in passing."""
    from lance_assets.store.columns import CellState, state_of
    from lance_assets.store.table import exists, open_images

    dataset = open_images(root) if exists(root) else None
    if dataset is None or state_of(column) not in dataset.schema.names:
        return Counter()
    found = dataset.to_table(columns=["batch"], filter=f"{state_of(column)} = {int(CellState.FAILED_TRANSIENT)}")
    return Counter(found["batch"].to_pylist())


def column_words(told: Mapping[str, Any]) -> list[str]:
    """For people."""
    lines = [
        f"cells     {told['tried']} of {told['column']} tried again, {told['left']} of them fail still",
    ]
    if told["left"]:
        lines.append(f"hint      lance-assets audit failures {told['column']} says why")
    return lines + [f"FAILED    {line}" for line in told["failed"]]
