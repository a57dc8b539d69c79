"""`lance-assets bench automation`: what the sensors cost at 5,000 batches and 8 score columns, and how long the
definitions take to load. Ledger, fragments and partition keys are generated directly; Dagster's instance is on disk."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from lance_assets.audit.stale import audit_stale
from lance_assets.compute.label import identity_of
from lance_assets.compute.scorers import platform_scorers
from lance_assets.partitions import PARTITIONS
from lance_assets.settings import HOME_VARIABLE, Home, Platform
from lance_assets.store.columns import column_of
from lance_assets.store.files import DataRoot
from lance_assets.store.staleness import all_stale_cells
from lance_assets.store.table import open_images, session
from lance_assets_tests.bench.meter import seconds
from lance_assets_tests.bench.report import Goal, Report, Value
from lance_assets_tests.bench.simulated import batch_key, fill
from lance_assets_tests.bench.sizes import Say

COLUMNS = 8
#: Scorers that made the labels of `fill`.
USES = "lance_assets_tests.bench.simulated:Light"
LOAD = "import time; t = time.monotonic(); import lance_assets.definitions; print(time.monotonic() - t)"


def run(quick: bool, say: Say) -> Report:
    """Builds a home in a temporary folder (TMPDIR says where), measures and deletes it."""
    batches, turns = (50, 1) if quick else (5000, 5)
    with tempfile.TemporaryDirectory(prefix="lance-assets-bench-") as folder:
        home = Home(Path(folder), Path(folder) / "data")
        say(f"generating {batches:,} batches with {COLUMNS} columns")
        fill(DataRoot(home.data), batches, 1, 2, [column_of(name) for name in _names()])
        home.dagster.mkdir()
        (home.dagster / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
            instance.add_dynamic_partitions(PARTITIONS, [batch_key(number) for number in range(batches)])
            rows = [*_ticks(home, instance, turns, say), *_staleness(home, turns, say), _load(home, turns, say)]
    title = f"{'QUICK, fewer batches than the goals are for. ' if quick else ''}{batches:,} batches, {COLUMNS} columns."
    return Report(f"{title} Medians of {turns} turns, `worst_s` the longest.", rows, _goals(rows))


def _names() -> list[str]:
    return [f"bench_{number}" for number in range(COLUMNS)]


def _say_platform(home: Home, versions: Mapping[str, str]) -> None:
    scorers = [{"name": name, "uses": USES, "version": versions.get(name, "1")} for name in _names()]
    # One default scorer, since a list of one's own alone would add all of them.
    said = {"sources": [{"id": "filler", "spec": f"files:{home.root}"}], "scorers": [*scorers, {"name": "resolution"}]}
    home.platform_yaml.write_text(yaml.safe_dump(said | {"automation": {"paused": ["resolution"]}}))


CASES: dict[str, dict[str, str]] = {
    "nothing is stale": {},
    "one column has a new version": {"bench_3": "2"},
    "every column has a new version": dict.fromkeys(_names(), "2"),
}


def _ticks(home: Home, instance: dg.DagsterInstance, turns: int, say: Say) -> list[dict[str, Value]]:
    """Whole ticks, as the daemon asks for them; the code location is loaded once and knows nothing beforehand."""
    from lance_assets.definitions import build

    rows: list[dict[str, Value]] = []
    _say_platform(home, {})
    repository = build(Platform(home)).get_repository_def()
    for sensor in ("relabel", "tail", "new_samples_filler"):
        for case, versions in CASES.items() if sensor != "new_samples_filler" else [("nothing is new", {})]:
            _say_platform(home, versions)
            asked: list[int] = []

            def tick(sensor: str = sensor, asked: list[int] = asked) -> None:
                context = dg.build_sensor_context(instance, repository_def=repository)
                found = repository.get_sensor_def(sensor).evaluate_tick(context)
                asked.append(len(found.run_requests or []))

            rows.append({"what": f"tick of {sensor}", "case": case, **_timed(tick, turns), "requests": asked[-1]})
            say(f"{sensor}, {case}: {rows[-1]['wall_s']:.2f} s, {asked[-1]} requests")
    return rows


def _staleness(home: Home, turns: int, say: Say) -> list[dict[str, Value]]:
    _say_platform(home, CASES["one column has a new version"])
    root = DataRoot(home.data)
    identities = [identity_of(scorer) for scorer in platform_scorers(Platform(home)).values()]
    counted = _timed(lambda: audit_stale(root, identities), turns)
    one_by_one = _timed(lambda: all_stale_cells(root, open_images(root), identities), 1)
    say(f"counted in {counted['wall_s']:.2f} s, cell by cell in {one_by_one['wall_s']:.2f} s")
    case = "one column has a new version"
    return [
        {"what": "audit stale", "case": case, **counted},
        {"what": "the same, cell by cell", "case": case, **one_by_one},
    ]


def _load(home: Home, turns: int, say: Say) -> dict[str, Value]:
    def load() -> float:
        environment = {**os.environ, HOME_VARIABLE: str(home.root)}
        done = subprocess.run([sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True, check=True)
        return float(done.stdout)

    spent = [load() for _ in range(turns)]
    say(f"definitions loaded in {statistics.median(spent):.2f} s")
    return {
        "what": "load the definitions",
        "case": "new process",
        "wall_s": statistics.median(spent),
        "worst_s": max(spent),
    }


def _timed(function: Callable[[], Any], turns: int) -> dict[str, Value]:
    spent: list[float] = []
    for _ in range(turns):
        session.cache_clear()  # a daemon finds a table that changed since its last tick
        spent.append(seconds(function))
    return {"wall_s": statistics.median(spent), "worst_s": max(spent)}


def _goals(rows: list[dict[str, Value]]) -> list[Goal]:
    def worst(what: str) -> float:
        return max(float(row["wall_s"] or 0) for row in rows if row["what"] == what)

    return [
        Goal("relabel_tick_seconds", worst("tick of relabel"), 2),
        Goal("tail_tick_seconds", worst("tick of tail"), 30),
        Goal("new_samples_tick_seconds", worst("tick of new_samples_filler"), 30),
        Goal("load_definitions_seconds", worst("load the definitions"), 5),
    ]
