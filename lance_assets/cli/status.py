"""`lance-assets status`: batches, stale cells, queue, last failures, what works by itself, what was trained last."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lance_assets.errors import BadInput
from lance_assets.settings import Home, Platform

if TYPE_CHECKING:
    from lance_assets.store.files import DataRoot


def add(parser: ArgumentParser) -> None:
    parser.set_defaults(main=main)


def main(flags: Namespace) -> int:
    """Raises BadInput where there is no platform."""
    home = Home.find(flags.home)
    if not home.dagster.exists():
        raise BadInput(f"there is no platform at {home.root} yet: lance-assets demo --home {home.root} makes one")
    found = read(Platform(home))
    print(json.dumps(found, ensure_ascii=False) if flags.json else "\n".join(words(found)))
    return 0


def read(platform: Platform) -> dict[str, Any]:
    """What is stored, what is stale and why, what Dagster is doing and what failed last."""
    import dagster as dg

    from lance_assets.automation.dead_runs import dead_runs
    from lance_assets.automation.failed_steps import failures
    from lance_assets.cli.health import backfills, daemon, instigators
    from lance_assets.cli.runs import open_instance
    from lance_assets.cli.work import known_batches, sorted_out
    from lance_assets.compute.label import identity_of
    from lance_assets.compute.registry import active_scorers
    from lance_assets.partitions import batch_keys
    from lance_assets.store.backlog import backlog
    from lance_assets.store.columns import scorer_of
    from lance_assets.store.files import DataRoot
    from lance_assets.store.rejects import read_rejects, reasons
    from lance_assets.store.table import exists, open_images

    root, config = DataRoot(platform.home.data), platform.config()
    identities = [identity_of(scorer) for scorer in active_scorers(platform).values()]
    dataset = open_images(root) if exists(root) else None
    stored, rejects = backlog(root, dataset, identities).stale if dataset else {}, read_rejects(root)
    stale: dict[str, Counter[str]] = {identity.scorer: Counter() for identity in identities}
    for columns in stored.values():
        for column, counts in columns.items():
            stale[scorer_of(column)].update(counts)
    with open_instance(platform.home) as instance:
        from lance_assets.definitions import build  # looks for the home that open_instance named

        keys = batch_keys(known_batches(platform, instance))
        waiting, running = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED], [dg.DagsterRunStatus.STARTED]
        dead = [run for run in dead_runs(instance) if run.status == dg.DagsterRunStatus.STARTED]
        failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=5)
        return {
            "home": str(platform.home.root),
            "batches": {"known": len(keys), "pending": sorted_out(keys, stored, rejects).batches if dataset else keys},
            "rows": {"stored": dataset.count_rows() if dataset else 0, "rejected": reasons(rejects)},
            "stale": stale,
            "queue": {
                "queued": instance.get_runs_count(dg.RunsFilter(statuses=waiting)),
                "running": instance.get_runs_count(dg.RunsFilter(statuses=running)) - len(dead),
                "dead": len(dead),
                "backfills": backfills(instance),
            },
            "daemon": daemon(instance),
            "automation": instigators(instance, build(platform)),
            "paused": list(config.automation.paused),
            "training_set": _training_set(root),
            "checkpoint": _checkpoint(platform),
            "last_failures": [{"run_id": run.run_id, "steps": failures(instance, run.run_id)} for run in failed],
        }


def _training_set(root: DataRoot) -> dict[str, Any] | None:
    """The one that was pinned last."""
    from lance_assets.store.selection import latest_manifest

    manifest = latest_manifest(root)
    names = ("tag", "version", "created", "rows")
    return None if manifest is None else {name: manifest[name] for name in names}


def _checkpoint(platform: Platform) -> dict[str, Any] | None:
    """The one that was materialized last, and what its evaluation said (None = there is none)."""
    from lance_assets.training.artifacts import evaluation_of, latest

    summary = latest(platform.home.checkpoints)
    if summary is None:
        return None
    evaluation = evaluation_of(Path(summary["path"]))
    said = {name: summary[name] for name in ("path", "tag", "run_id", "loss_last")}
    return said | {"beats_base": evaluation["beats_base"] if evaluation else None}


def words(found: dict[str, Any]) -> list[str]:
    from lance_assets.cli.health import health_words

    batches, rows = found["batches"], found["rows"]
    rejected = ", ".join(f"{reason} {count}" for reason, count in rows["rejected"].items()) or "none"
    lines = [
        f"home      {found['home']}",
        f"batches   {batches['known']} known, {len(batches['pending'])} with something to do",
        f"rows      {rows['stored']} stored; rejected: {rejected}",
    ]
    for scorer, why in found["stale"].items():
        lines.append(f"stale     {scorer}: {', '.join(f'{count} {reason}' for reason, count in why.items()) or 'none'}")
    queue = found["queue"]
    lines.append(f"queue     {queue['queued']} queued, {queue['running']} running, {queue['dead']} dead")
    lines += [f"backfill  {one['id']} {one['title'] or ''}: {one['status']}" for one in queue["backfills"]]
    lines += health_words(found)
    lines += [f"paused    {', '.join(found['paused'])}"] if found["paused"] else []
    lines += _trained(found)
    for failure in found["last_failures"]:
        lines += [f"failed    {failure['run_id'][:8]} {step}" for step in failure["steps"]]
    return lines


def _trained(found: dict[str, Any]) -> list[str]:
    lines = []
    if said := found["training_set"]:
        rows = said["rows"]
        held = f"{rows['train']} rows and {rows['test']} held out at version {said['version']}"
        lines.append(f"training  {said['tag']}, {held}, pinned {said['created']}")
    if said := found["checkpoint"]:
        verdicts = {True: "beats its base", False: "does not beat its base", None: "not evaluated"}
        lines.append(f"tuned     {said['path']} on {said['tag']}: {verdicts[said['beats_base']]}")
    return lines
