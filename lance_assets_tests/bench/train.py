"""`lance-assets bench train`: LLaMA-Factory on the same pictures out of Lance, JSON and files, Parquet, and the cache
that Hugging Face's datasets makes of Parquet.

The tiny model, the same recipe and rows for all, each training in a process of its own, in turns. What JSON and Parquet
need is exported before and not timed.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lance_assets.training.launch import dataset_entry, task_environment
from lance_assets.training.recipe import load_recipe
from lance_assets.training.tiny import build_tiny
from lance_assets_tests.bench import train_data
from lance_assets_tests.bench.processes import spent_by
from lance_assets_tests.bench.report import Goal, Report, Value
from lance_assets_tests.bench.sizes import Say

LIMIT_S = 1_800
STREAMED = {"streaming": True}
LAZY, STREAMING, FILES, PARQUET = "Lance, lazy", "Lance, streaming", "JSON + files", "Parquet"


@dataclass(frozen=True)
class Sizes:
    """Pictures, steps of a batch each, and how often each source has its turn."""

    rows: int
    steps: int
    batch: int
    turns: int


FULL = Sizes(rows=2_000, steps=40, batch=8, turns=3)
QUICK = Sizes(rows=64, steps=3, batch=4, turns=1)


@dataclass(frozen=True)
class Source:
    """`exported` is the folder of what was written only to be trained on; `keeps` a cache of an earlier turn."""

    name: str
    entry: dict[str, Any]
    folder: Path
    exported: Path | None = None
    recipe: Mapping[str, Any] | None = None
    keeps: bool = False


def run(quick: bool, say: Say) -> Report:
    """In a temporary folder (TMPDIR says where), which it deletes."""
    sizes = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        build_tiny(place / "base", [train_data.caption(number) for number in range(min(sizes.rows, 500))])
        sources = _sources(place, sizes)
        turns: dict[str, list[dict[str, float]]] = {source.name: [] for source in sources}
        for number in range(sizes.turns):
            for source in sources:
                turns[source.name].append(_turn(source, place, sizes))
                said = turns[source.name][-1]
                say(f"turn {number + 1}, {source.name}: first step after {said['first_step_s']:.1f} s")
    found = {
        name: {key: statistics.median(one[key] for one in many) for key in many[0]} for name, many in turns.items()
    }
    case = f"{sizes.rows} images, {sizes.steps} steps of {sizes.batch}"
    rows: list[dict[str, Value]] = [{"what": name, "case": case, **said} for name, said in found.items()]
    title = (
        f"{'QUICK: ' if quick else ''}Medians of {sizes.turns}; imports are not timed, the peak is of all processes."
    )
    return Report(title, rows, _goals(found))


def _sources(place: Path, sizes: Sizes) -> list[Source]:
    table = dataset_entry(train_data.write_lance(place / "lance", sizes.rows))
    files = train_data.write_json(place / "json", sizes.rows)
    parquet = train_data.write_parquet(place / "parquet", sizes.rows)
    return [
        Source(LAZY, table, place / "lance"),
        Source(STREAMING, table, place / "lance", recipe=STREAMED),
        Source(FILES, files, place / "json", place / "json"),
        Source(PARQUET, parquet, place / "parquet", place / "parquet"),
        Source("Hugging Face cache", parquet, place / "parquet", place / "parquet", keeps=True),
    ]


def _turn(source: Source, place: Path, sizes: Sizes) -> dict[str, float]:
    """One training; caches are empty before, unless the source is the cache of the one before it."""
    home, out = place / "cache", place / "out"
    exported = train_data.size(source.exported) if source.exported else 0
    if not source.keeps:
        shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    out.mkdir()
    (source.folder / "dataset_info.json").write_text(json.dumps({"rows": source.entry}))
    recipe = {"max_steps": sizes.steps, "per_device_train_batch_size": sizes.batch, "plot_loss": False}
    args = load_recipe("demo", {**recipe, "save_strategy": "no", **(source.recipe or {})}) | {
        "model_name_or_path": str(place / "base"),
        "dataset_dir": str(source.folder),
        "dataset": "rows",
        "output_dir": str(out / "model"),
    }
    (out / "args.json").write_text(json.dumps(args))
    environment = {**task_environment(), "HF_HOME": str(home), "TMPDIR": str(home / "tmp")}
    command = [sys.executable, "-m", "lance_assets_tests.bench.train_task", str(out / "args.json"), str(out / "said")]
    spent = spent_by(command, out / "log", environment, LIMIT_S)
    # what a cache holds beyond its folders' own files; the export folder is counted as it was before
    left = train_data.size(home) + (train_data.size(source.exported) - exported if source.exported else 0)
    said = json.loads((out / "said").read_text())
    return {**said, "peak_bytes": spent.peak_bytes, "exported_bytes": exported, "cached_bytes": left}


def _goals(found: Mapping[str, Mapping[str, float]]) -> list[Goal]:
    """Of the sources that had a turn."""
    pairs = [
        ("lazy_peak_over_json_and_files", "peak_bytes", LAZY, FILES, 1.1),
        ("streaming_first_step_over_parquet", "first_step_s", STREAMING, PARQUET, 1.0),
        ("streaming_first_step_over_json_and_files", "first_step_s", STREAMING, FILES, 1.0),
    ]
    goals = [
        Goal(name, found[ours][figure] / found[theirs][figure], bound)
        for name, figure, ours, theirs, bound in pairs
        if ours in found and theirs in found
    ]
    for name, source in (("lazy", LAZY), ("streaming", STREAMING)):
        if source in found:
            left = found[source]["exported_bytes"] + found[source]["cached_bytes"]
            goals.append(Goal(f"{name}_bytes_exported_or_cached", left, 0))
    return goals
