"""The same batch labelled in tables of several sizes, and batches of several sizes: what grows and what does not."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from lance_assets.store import ledger
from lance_assets.store.files import DataRoot
from lance_assets.store.table import ensure_images
from lance_assets_tests.bench.meter import Cost, measured, median, seconds
from lance_assets_tests.bench.passes import Pass
from lance_assets_tests.bench.report import Goal, Value
from lance_assets_tests.bench.simulated import COLUMNS, add_batch, fill
from lance_assets_tests.bench.sizes import FRAGMENT, MEASURED, Say, Sizes

BATCH = "measured-00000000-0-1"
#: A float32 value and a uint8 state.
CELL_BYTES = 5
FLAT = 1.5


def in_tables(folder: Path, sizes: Sizes, say: Say) -> tuple[list[dict[str, Value]], list[Goal]]:
    """One batch in tables of few and many batches, turn by turn so that a busy moment of the machine hits them all."""
    roots: dict[str, DataRoot] = {}
    for name, (batches, fragments, rows) in sizes.tables.items():
        roots[name] = DataRoot(folder / f"table-{len(roots)}")
        spent = seconds(lambda root=roots[name], shape=(batches, fragments, rows): fill(root, *shape))
        say(f"a table of {name}, {batches * fragments:,} fragments: made in {spent:.1f} s")
    costs: dict[str, list[Cost]] = {name: [] for name in roots}
    for turn in range(sizes.turns):
        last = turn == sizes.turns - 1
        for name, root in roots.items():
            batch = f"measured-00000000-{turn}-{turn + 1}"
            add_batch(root, batch, MEASURED, FRAGMENT)
            costs[name].append(measured(root, lambda root=root, batch=batch: Pass(root)(batch), files=last))
        say(f"labelled a batch of {MEASURED:,} rows in each table, turn {turn + 1} of {sizes.turns}")
    medians = {name: median(many) for name, many in costs.items()}
    what = f"label {MEASURED:,} rows x {len(COLUMNS)}"
    rows = [_row(what, f"in {name}", cost, MEASURED * len(COLUMNS)) for name, cost in medians.items()]
    *_, largest = roots
    merge = measured(roots[largest], lambda: ledger.merge(roots[largest]))
    rows.append(_row(f"merge the ledger, every {ledger.MERGE_AFTER} appends", f"in {largest}", merge, 0))
    few, many = medians[next(iter(roots))], medians[largest]
    return rows, [
        Goal("label_seconds_beside_manifest_most_over_fewest_batches", many.rest_s / few.rest_s, FLAT),
        Goal("label_bytes_beside_manifest_most_over_fewest_batches", _written(many) / _written(few), FLAT),
    ]


def of_batches(folder: Path, sizes: Sizes, say: Say) -> tuple[list[dict[str, Value]], list[Goal]]:
    """A small and a large batch, each labelled again and again by another configuration."""
    roots = {count: DataRoot(folder / f"batch-{count}") for count in sizes.batches}
    costs: dict[int, list[Cost]] = {count: [] for count in roots}
    for count, root in roots.items():
        ensure_images(root)
        add_batch(root, BATCH, count, sizes.large_fragment)
    for turn in range(sizes.large_turns):
        last = turn == sizes.large_turns - 1
        for count, root in roots.items():
            costs[count].append(measured(root, lambda root=root, turn=turn: Pass(root, turn)(BATCH), files=last))
        say(f"labelled batches of {' and '.join(map(str, roots))} rows, turn {turn + 1} of {sizes.large_turns}")
    medians = {count: median(many) for count, many in costs.items()}
    rows = [
        _row("label one batch", f"of {count:,} rows x {len(COLUMNS)}", cost, count * len(COLUMNS))
        for count, cost in medians.items()
    ]
    (few, small), (many, large) = medians.items()
    values = many * len(COLUMNS) * CELL_BYTES
    return rows, [
        Goal("label_seconds_per_row_large_over_small_batch", large.wall_s / many / (small.wall_s / few), FLAT),
        Goal("label_bytes_per_row_large_over_small_batch", _written(large) / many / (_written(small) / few), FLAT),
        Goal("label_bytes_per_byte_of_values_and_states", _written(large) / values, 3),
    ]


def _row(what: str, case: str, cost: Cost, calls: int) -> dict[str, Value]:
    return {"what": what, "case": case, **asdict(cost), "calls": calls}


def _written(cost: Cost) -> int:
    return cost.data_bytes + cost.ledger_bytes
