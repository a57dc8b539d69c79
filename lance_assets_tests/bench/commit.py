"""`lance-assets bench commit`: what one batch costs to label in small and large tables, what one commit costs, how long
one cell takes to explain, and what a replaced batch costs. In one process, on a folder, with a warm page cache."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lance_assets.store.table import session
from lance_assets_tests.bench import carrying, labelling, lookup, publishing
from lance_assets_tests.bench.report import Goal, Report, Value
from lance_assets_tests.bench.sizes import FULL, QUICK, Say

TITLE = "Medians in one process on one folder; `rest` is what is left of `wall` without opening and committing."


def run(quick: bool, say: Say) -> Report:
    """Builds its tables in a temporary folder (TMPDIR says where), measures and deletes them."""
    sizes = QUICK if quick else FULL
    rows: list[dict[str, Value]] = []
    goals: list[Goal] = []
    parts = (labelling.in_tables, labelling.of_batches, publishing.one_fragment, lookup.one_cell, carrying.one_batch)
    for part in parts:
        session.cache_clear()  # each part starts with what a new process knows: nothing
        with tempfile.TemporaryDirectory(prefix="lance-assets-bench-") as folder:
            more, wanted = part(Path(folder), sizes, say)
        rows += more
        goals += wanted
    return Report(f"{'QUICK, smaller tables than the goals are for. ' if quick else ''}{TITLE}", rows, goals)
