"""What `run` does: find new batches, materialize what is missing through Dagster, batch failures apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import dagster as dg

from lance_assets.assets.scores import alignment_model, platform_scorers, score_key
from lance_assets.automation.planner import discover
from lance_assets.cli.runs import execute, failures
from lance_assets.compute.label import identity_of
from lance_assets.compute.registry import needs_fit
from lance_assets.partitions import PARTITIONS, contiguous
from lance_assets.settings import Platform, PlatformConfig, SourceEntry
from lance_assets.sources.open import open_source
from lance_assets.store.captions import catalog
from lance_assets.store.files import DataRoot
from lance_assets.store.rejects import read_rejects
from lance_assets.store.staleness import all_stale_cells
from lance_assets.store.table import exists, open_images

Say = Callable[[str], None]
OVERHEAD = "start and stop"
TAIL = [dg.AssetKey([name]) for name in ("sft_dataset", "qwen_vl_checkpoint", "evaluation")]


@dataclass
class Work:
    """What was run. `failed` names each failing step in one line."""

    run_ids: list[str] = field(default_factory=list)
    batches: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def find_batches(platform: Platform, entry: SourceEntry, config: PlatformConfig, known: Sequence[str]) -> list[str]:
    """Keys of the batches that the source still lacks. Raises BadInput when the source cannot be read."""
    source = open_source(**platform.source_arguments(entry))
    return discover(source, known, config.batch_rows(entry), entry.rows)


def known_batches(platform: Platform, instance: dg.DagsterInstance) -> list[str]:
    """Registered partitions in their order, then batches of the catalog that Dagster does not know."""
    registered = list(instance.get_dynamic_partitions(PARTITIONS))
    return [*registered, *sorted(set(catalog(DataRoot(platform.home.data))) - set(registered))]


def pending(platform: Platform, keys: Sequence[str]) -> list[str]:
    """The batches that lack captions, images or a current score."""
    root = DataRoot(platform.home.data)
    if not exists(root):
        return list(keys)
    identities = [identity_of(scorer) for scorer in platform_scorers(platform).values()]
    stale = all_stale_cells(root, open_images(root), identities)
    refused = set(read_rejects(root)["batch"].to_pylist())
    have = set(catalog(root))
    return [key for key in keys if key not in have or stale.get(key) or (key not in stale and key not in refused)]


def do_work(platform: Platform, instance: dg.DagsterInstance, keys: Sequence[str], say: Say) -> Work:
    """Materializes every pending batch, then the training set, checkpoint and evaluation.

    Batches that stand next to each other share a run, and the last run does the rest of the graph, too. Where a run
    fails, those of its batches that are not done are tried one by one, so that a failing batch costs only itself.
    """
    work = Work()
    scores = [score_key(name) for name in platform_scorers(platform)]
    partitioned = [dg.AssetKey(["raw_captions"]), dg.AssetKey(["image_dataset"]), *scores]
    work.batches = pending(platform, keys)
    ranges = contiguous(work.batches, keys)
    say(f"{len(work.batches)} of {len(keys)} batches have something to do")
    tail_done = False
    for at, ends in enumerate(ranges):
        assets = [*partitioned, *_models(platform)]
        last = at == len(ranges) - 1
        run = _run(instance, [*assets, *(TAIL if last else [])], ends, work)
        batches = _between(keys, ends)
        left = [] if run.is_success else pending(platform, batches)
        if left and len(batches) > 1:
            say(f"the run failed; the {len(left)} of its {len(batches)} batches that are not done are tried one by one")
            for key in left:
                if not _run(instance, [*partitioned, *_models(platform)], (key, key), work).is_success:
                    work.failed += failures(instance, work.run_ids[-1])
            continue
        if not run.is_success:
            work.failed += failures(instance, run.run_id)
        tail_done = last and not left
    if not tail_done and exists(DataRoot(platform.home.data)) and not _run(instance, TAIL, None, work).is_success:
        work.failed += failures(instance, work.run_ids[-1])
    return work


def _models(platform: Platform) -> list[dg.AssetKey]:
    """The alignment model is fitted once; refitting it is an explicit act, since it makes every score stale."""
    wanted = "alignment" in platform_scorers(platform) and needs_fit(platform.home.models)
    return [alignment_model.key] if wanted else []


def _between(keys: Sequence[str], ends: tuple[str, str]) -> Sequence[str]:
    return keys[keys.index(ends[0]) : keys.index(ends[1]) + 1]


def _run(
    instance: dg.DagsterInstance, assets: Sequence[dg.AssetKey], ends: tuple[str, str] | None, work: Work
) -> dg.DagsterRun:
    started = time.monotonic()
    run = execute(instance, assets, ends, {})
    work.run_ids.append(run.run_id)
    wall = time.monotonic() - started
    for step in instance.get_run_step_stats(run.run_id):
        if step.start_time and step.end_time:
            spent = step.end_time - step.start_time
            work.seconds[step.step_key] = work.seconds.get(step.step_key, 0.0) + spent
            wall -= spent
    work.seconds[OVERHEAD] = work.seconds.get(OVERHEAD, 0.0) + max(0.0, wall)
    return run


def register(instance: dg.DagsterInstance, keys: Sequence[str]) -> None:
    """Makes the batches partitions in Dagster; known ones stay where they are."""
    instance.add_dynamic_partitions(PARTITIONS, list(keys))
