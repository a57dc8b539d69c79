"""What `run` does: find new batches, materialize what is missing through Dagster, batch failures apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import dagster as dg
import pyarrow as pa

from lance_assets.assets.scores import alignment_model, score_key
from lance_assets.automation.failed_steps import failures
from lance_assets.automation.new_samples import missing
from lance_assets.automation.planner import Found, look
from lance_assets.cli.runs import execute
from lance_assets.compute.label import identity_of
from lance_assets.compute.registry import active_scorers
from lance_assets.compute.scorers import needs_fit
from lance_assets.partitions import PARTITIONS, batch_keys, contiguous
from lance_assets.settings import Platform, PlatformConfig, SourceEntry
from lance_assets.sources.open import open_source
from lance_assets.store.backlog import backlog
from lance_assets.store.captions import catalog, footers
from lance_assets.store.files import DataRoot
from lance_assets.store.rejects import read_rejects
from lance_assets.store.table import exists, open_images
from lance_assets.tags import ANY, RETRY_TAG

Say = Callable[[str], None]
OVERHEAD = "start and stop"
#: The stage that all asset checks count to.
CHECKS = "checks"
IMAGES = dg.AssetKey(["image_dataset"])
TAIL = [dg.AssetKey([name]) for name in ("sft_dataset", "data_card", "qwen_vl_checkpoint", "evaluation")]


@dataclass
class Work:
    """What was run. `failed` names each failing step in one line."""

    run_ids: list[str] = field(default_factory=list)
    batches: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def find_batches(platform: Platform, entry: SourceEntry, config: PlatformConfig, known: Sequence[str]) -> Found:
    """What a source has that is not stored. Raises BadInput when it cannot be read."""
    source = open_source(**platform.source_arguments(entry))
    stored = footers(DataRoot(platform.home.data))
    return look(source, known, stored, config.batch_rows(entry), entry.rows)


def known_batches(platform: Platform, instance: dg.DagsterInstance) -> list[str]:
    """Registered partitions in their order, then batches of the catalog that Dagster does not know."""
    registered = list(instance.get_dynamic_partitions(PARTITIONS))
    return [*registered, *sorted(set(catalog(DataRoot(platform.home.data))) - set(registered))]


@dataclass(frozen=True)
class Pending:
    """What there is to do, in the order of the batches: `missing` lack captions or images, `stale` only scores."""

    missing: list[str]
    stale: list[str]

    @property
    def batches(self) -> list[str]:
        return [*self.missing, *self.stale]


def pending(platform: Platform, keys: Sequence[str], changed: Collection[str] = ()) -> Pending:
    """A batch of which no row could be stored counts as missing as long as another try may go better; so do batches
    that `changed` in their source."""
    root = DataRoot(platform.home.data)
    if not exists(root):
        return Pending(batch_keys(keys), [])
    identities = [identity_of(scorer) for scorer in active_scorers(platform).values()]
    stored = backlog(root, open_images(root), identities).stale
    return sorted_out(keys, stored, read_rejects(root), changed)


def sorted_out(
    keys: Sequence[str], stored: Mapping[str, Collection[str]], rejects: pa.Table, changed: Collection[str] = ()
) -> Pending:
    """As `pending`, out of what is `stored`: the stale columns of each batch."""
    lacking = {*missing(keys, stored, rejects), *changed}
    return Pending(
        [key for key in keys if key in lacking], [key for key in keys if stored.get(key) and key not in lacking]
    )


def do_work(
    platform: Platform, instance: dg.DagsterInstance, keys: Sequence[str], changed: Collection[str], say: Say
) -> Work:
    """Materializes every pending batch, then the training set, checkpoint and evaluation.

    Batches that stand next to each other and lack the same share a run, and the last run does the rest of the graph,
    too. A stored batch is scored without its source, which may be gone. Where a run fails, those of its batches that
    are not done are tried one by one, so that a failing batch costs only itself.
    """
    todo = pending(platform, keys, changed)
    work = Work(batches=todo.batches)
    scores = [score_key(name) for name in active_scorers(platform)]
    everything = [dg.AssetKey(["raw_captions"]), IMAGES, *scores]
    plan = [(everything, ends) for ends in contiguous(todo.missing, keys)]
    plan += [(scores, ends) for ends in contiguous(todo.stale, keys)]
    say(f"{len(work.batches)} of {len(keys)} batches have something to do")
    tail_done = False
    for at, (assets, ends) in enumerate(plan):
        last = at == len(plan) - 1
        run = _run(instance, [*assets, *_models(platform), *(TAIL if last else [])], ends, work)
        batches = _between(keys, ends)
        left = [] if run.is_success else pending(platform, batches, set(changed) & set(batches)).batches
        if left and len(batches) > 1:
            say(f"the run failed; the {len(left)} of its {len(batches)} batches that are not done are tried one by one")
            for key in left:
                if not _run(instance, [*assets, *_models(platform)], (key, key), work).is_success:
                    work.failed += failures(instance, work.run_ids[-1])
            continue
        if not run.is_success:
            work.failed += failures(instance, run.run_id)
        tail_done = last and not left
    if not tail_done and exists(DataRoot(platform.home.data)) and not _run(instance, TAIL, None, work).is_success:
        work.failed += failures(instance, work.run_ids[-1])
    return work


def retry_rejects(
    platform: Platform, instance: dg.DagsterInstance, keys: Sequence[str], batches: Sequence[str], reason: str | None
) -> Work:
    """Loads rejects of these batches again (see tags.RETRY_TAG) and scores what could be stored."""
    work = Work(batches=list(batches))
    scores = [score_key(name) for name in active_scorers(platform)]
    for ends in contiguous(batches, keys):
        run = _run(instance, [IMAGES, *scores, *_models(platform)], ends, work, {RETRY_TAG: reason or ANY})
        if not run.is_success:
            work.failed += failures(instance, run.run_id)
    return work


def score_again(
    platform: Platform, instance: dg.DagsterInstance, keys: Sequence[str], batches: Sequence[str], scorer: str
) -> Work:
    """Scores what is stale in one column of these batches."""
    work = Work(batches=list(batches))
    for ends in contiguous(batches, keys):
        run = _run(instance, [score_key(scorer)], ends, work)
        if not run.is_success:
            work.failed += failures(instance, run.run_id)
    return work


def _models(platform: Platform) -> list[dg.AssetKey]:
    """The alignment model is fitted once; refitting it is an explicit act, since it makes every score stale."""
    wanted = "alignment" in active_scorers(platform) and needs_fit(platform.home.models)
    return [alignment_model.key] if wanted else []


def _between(keys: Sequence[str], ends: tuple[str, str]) -> Sequence[str]:
    return keys[keys.index(ends[0]) : keys.index(ends[1]) + 1]


def _run(
    instance: dg.DagsterInstance,
    assets: Sequence[dg.AssetKey],
    ends: tuple[str, str] | None,
    work: Work,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> dg.DagsterRun:
    started = time.monotonic()
    run = execute(instance, assets, ends, dict(tags))
    work.run_ids.append(run.run_id)
    wall = time.monotonic() - started
    for step in instance.get_run_step_stats(run.run_id):
        if step.start_time and step.end_time:
            spent = step.end_time - step.start_time
            stage = CHECKS if step.step_key.endswith("_checks") else step.step_key
            work.seconds[stage] = work.seconds.get(stage, 0.0) + spent
            wall -= spent
    work.seconds[OVERHEAD] = work.seconds.get(OVERHEAD, 0.0) + max(0.0, wall)
    return run


def register(instance: dg.DagsterInstance, keys: Sequence[str]) -> None:
    """Makes the batches partitions in Dagster; known ones stay where they are."""
    instance.add_dynamic_partitions(PARTITIONS, list(keys))
