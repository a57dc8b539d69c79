"""What `run` and `demo` say at the end: one JSON object, and the same for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import dagster as dg

from lance_assets.cli.work import Work
from lance_assets.compute.registry import active_scorers
from lance_assets.compute.train import Places, evaluation_of, latest_checkpoint
from lance_assets.ingest.outcome import TRANSIENT
from lance_assets.partitions import Batch, batch_keys
from lance_assets.settings import Platform
from lance_assets.store import ledger
from lance_assets.store.columns import column_of, state_of
from lance_assets.store.files import DataRoot
from lance_assets.store.rejects import read_rejects, reasons
from lance_assets.store.selection import latest_manifest, manifest_name
from lance_assets.store.table import exists, open_images

ROWS = ("rows_ok", "rows_failed_transient", "rows_failed_permanent", "rows_refused")
CHECKPOINT = ("path", "base", "loss_first", "loss_last")


def summarize(platform: Platform, instance: dg.DagsterInstance, keys: Sequence[str], work: Work) -> dict[str, Any]:
    """Totals of the platform and what this run did; follows summary.schema.json."""
    root = DataRoot(platform.home.data)
    dataset = open_images(root) if exists(root) else None
    manifest = latest_manifest(root)
    checkpoint = latest_checkpoint(Places(platform.home.models, platform.home.checkpoints))
    return {
        "rows": {
            "asked": sum(Batch.parse(key).rows for key in batch_keys(keys)),
            "stored": dataset.count_rows() if dataset else 0,
            "rejected": reasons(read_rejects(root)),
        },
        "batches": len(keys),
        "scores": _scores(platform, dataset),
        "this_run": {
            "batches": work.batches,
            "downloaded": _downloaded(instance, work.run_ids),
            "scorer_calls": _calls(platform, root, work.run_ids),
            "run_ids": work.run_ids,
        },
        "lance": {
            "uri": root.images,
            "version": dataset.version if dataset else 0,
            "tag": manifest["tag"] if manifest else None,
        },
        "sft": None
        if manifest is None
        else {
            "rows": manifest["rows"]["train"] + manifest["rows"]["test"],
            **manifest["rows"],
            "manifest": root.at(manifest_name(manifest["tag"])),
        },
        "checkpoint": None if checkpoint is None else {name: checkpoint[name] for name in CHECKPOINT},
        "evaluation": None if checkpoint is None else evaluation_of(checkpoint),
        "seconds": {stage: round(seconds, 2) for stage, seconds in work.seconds.items()},
        "failed": work.failed,
    }


def _scores(platform: Platform, dataset: Any) -> dict[str, dict[str, Any]]:
    """Version and cells by state of each column, over the whole table."""
    found: dict[str, dict[str, Any]] = {}
    for name, scorer in active_scorers(platform).items():
        column = state_of(column_of(name))
        if dataset is None or column not in dataset.schema.names:
            counts = {"ok": 0, "failed": 0, "null": dataset.count_rows() if dataset else 0}
        else:
            ok, null = dataset.count_rows(f"{column} = 0"), dataset.count_rows(f"{column} IS NULL")
            counts = {"ok": ok, "failed": dataset.count_rows() - ok - null, "null": null}
        found[name] = {"version": scorer.version, **counts}
    return found


def _downloaded(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> int:
    """Images that these runs fetched and stored, as their materializations say."""
    total = 0
    for run_id in run_ids:
        for record in instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records:
            event = record.event_log_entry.asset_materialization
            if event is not None and event.asset_key == dg.AssetKey(["image_dataset"]):
                said: dict[str, Any] = {name: value.value for name, value in event.metadata.items()}
                total += said["downloaded"]
    return total


def _calls(platform: Platform, root: DataRoot, run_ids: Sequence[str]) -> dict[str, int]:
    """Rows that each scorer scored in these runs, from the ledger: what was announced, published or not."""
    calls = dict.fromkeys(active_scorers(platform), 0)
    for row in ledger.read(root, columns=["scorer", "run_id", "carried_from", *ROWS]).to_pylist():
        if row["run_id"] in run_ids and row["scorer"] and row["carried_from"] is None:
            calls[row["scorer"]] = calls.get(row["scorer"], 0) + sum(row[state] for state in ROWS)
    return calls


def schema() -> dict[str, Any]:
    """The JSON schema of the summary."""
    return json.loads(resources.files("lance_assets.cli").joinpath("summary.schema.json").read_text())


def stage_table(summary: Mapping[str, Any]) -> list[str]:
    """Lines of a table: stage, seconds, rows of this run, rows per second."""
    now, sft = summary["this_run"], summary["sft"] or {}
    calls = now["scorer_calls"]
    rows = {
        "image_dataset": now["downloaded"],
        "light_scores": sum(count for name, count in calls.items() if name not in ("alignment", "duplicate")),
        "alignment_score": calls.get("alignment", 0),
        "duplicate_score": calls.get("duplicate", 0),
        "sft_dataset": sft.get("rows", 0),
    }
    lines = [f"{'stage':<22}{'seconds':>9}{'rows':>8}{'rows/s':>9}"]
    for stage, seconds in summary["seconds"].items():
        count = rows.get(stage)
        rate = f"{count:>8}{count / max(seconds, 1e-9):>9.0f}" if count else ""
        lines.append(f"{stage:<22}{seconds:>9.1f}{rate}")
    return lines


def words(summary: Mapping[str, Any]) -> list[str]:
    """The summary for people."""
    rows, checkpoint, evaluation = summary["rows"], summary["checkpoint"], summary["evaluation"]
    rejected = ", ".join(f"{reason} {count}" for reason, count in rows["rejected"].items()) or "none"
    scores = ", ".join(f"{name} {score['ok']} ok" for name, score in summary["scores"].items())
    lines = [
        *stage_table(summary),
        "",
        f"rows      {rows['stored']} stored of {rows['asked']} asked; rejected: {rejected}",
        f"scores    {scores}",
        f"table     {summary['lance']['uri']} version {summary['lance']['version']}, tag {summary['lance']['tag']}",
    ]
    if sft := summary["sft"]:
        lines.append(f"training  {sft['train']} rows, {sft['test']} held out; {sft['manifest']}")
    if checkpoint:
        lines.append(
            f"model     {checkpoint['path']}, loss {checkpoint['loss_first']:.2f} -> {checkpoint['loss_last']:.2f}"
        )
    if evaluation:
        lines.append(f"verdict   {evaluation['verdict']}")
    if "blocked_address" in rows["rejected"]:
        lines.append("hint      blocked_address: a server with a private address needs --allow-host HOST:PORT")
    if passing := sum(count for reason, count in rows["rejected"].items() if reason in TRANSIENT):
        lines.append(f"hint      {passing} rows failed in passing: lance-assets retry --rejects tries them again")
    return lines + [f"FAILED    {line}" for line in summary["failed"]]
