"""`lance-assets retry --rejects [--reason R] | --column NAME`: loads rejected rows again, or scores failed cells again,
and only these."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, Namespace
from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lance_assets.cli.ready import claimed
from lance_assets.cli.retry_column import column_words, retry_column
from lance_assets.cli.run import say
from lance_assets.errors import BadInput
from lance_assets.settings import Home, Platform
from lance_assets.store.files import DataRoot
from lance_assets.store.rejects import hopeful, read_rejects, reasons
from lance_assets.store.table import exists, open_images

STATUS = re.compile(r"http_[1-5][0-9]{2}")


def add(parser: ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--rejects", action="store_true", help="rows whose image could not be had")
    what.add_argument("--column", metavar="NAME", help="cells of a score column that failed in passing")
    parser.add_argument(
        "--reason",
        metavar="R",
        help="only rejects with this reason, also one that counts as final (default: those that may go better by now)",
    )
    parser.set_defaults(main=main)


def main(flags: Namespace) -> int:
    """0 done, also where rows stay rejected; 1 an asset failed. Raises BadInput."""
    home = Home.find(flags.home)
    if not home.dagster.exists():
        raise BadInput(f"there is no platform at {home.root} yet: lance-assets demo --home {home.root} makes one")
    if flags.column is not None and flags.reason is not None:
        raise BadInput("--reason goes with --rejects; a column's cells that failed for good wait for another version")
    check_reason(flags.reason)
    with claimed(home):
        if flags.column is not None:
            scored = retry_column(Platform(home), flags.column)
            print(json.dumps(scored, ensure_ascii=False) if flags.json else "\n".join(column_words(scored)))
            return 1 if scored["failed"] else 0
        told = retry(Platform(home), flags.reason)
    print(json.dumps(told, ensure_ascii=False) if flags.json else "\n".join(words(told, flags.reason)))
    return 1 if told["failed"] else 0


def check_reason(reason: str | None) -> None:
    """Raises BadInput for what is no reason of a reject."""
    from lance_assets.ingest.outcome import REASONS
    from lance_assets.ingest.rows import PROBLEMS

    if reason in PROBLEMS:
        raise BadInput(f"--reason {reason}: nothing was asked for, so there is nothing to try again: mend the source")
    if reason is not None and reason not in REASONS and not STATUS.fullmatch(reason):
        raise BadInput(f"--reason {reason}: expected one of {', '.join(sorted(REASONS))}, or http_<status>")


def retry(platform: Platform, reason: str | None) -> dict[str, Any]:
    """Tries the rejects of every batch that has some, through Dagster, and scores what could be stored."""
    from lance_assets.automation.dead_runs import reap
    from lance_assets.cli.runs import open_instance
    from lance_assets.cli.work import known_batches, register, retry_rejects

    root = DataRoot(platform.home.data)
    before = read_rejects(root)
    ids = hopeful(before) if reason is None else set(_with(before, reason))
    grey = _placeholders(root)
    mine = {row["batch"] for row in before.select(["id", "batch"]).to_pylist() if row["id"] in ids}
    with open_instance(platform.home) as instance:
        reap(instance)
        keys = known_batches(platform, instance)
        register(instance, keys)
        batches = [key for key in keys if key in mine or key in grey]
        say(f"{len(ids)} rejects and {sum(grey.values())} placeholders in {len(batches)} batches")
        work = retry_rejects(platform, instance, keys, batches, reason)
    after = read_rejects(root)
    left = set(after["id"].to_pylist())
    return {
        "tried": len(ids),
        "stored": len(ids - left),
        "placeholders_replaced": sum(grey.values()) - sum(_placeholders(root).values()),
        "rejected": reasons(after),
        "batches": batches,
        "run_ids": work.run_ids,
        "failed": work.failed,
    }


def _with(rejects: pa.Table, reason: str) -> list[str]:
    return rejects.filter(pc.field("reason") == reason)["id"].to_pylist()


def _placeholders(root: DataRoot) -> Counter[str]:
    """How many placeholders each batch holds."""
    if not exists(root):
        return Counter()
    found = open_images(root).to_table(columns=["batch"], filter="is_placeholder")
    return Counter(found["batch"].to_pylist())


def words(told: dict[str, Any], reason: str | None) -> list[str]:
    rejected = ", ".join(f"{why} {count}" for why, count in told["rejected"].items()) or "none"
    lines = [
        f"rejects   {told['tried']} tried again, {told['stored']} of them stored now",
        f"left      {rejected}",
    ]
    if told["placeholders_replaced"]:
        lines.append(f"grey      {told['placeholders_replaced']} placeholders gave way to their image")
    if reason is None and told["rejected"]:
        lines.append("hint      reasons that count as final are tried again only by name: --reason R")
    return lines + [f"FAILED    {line}" for line in told["failed"]]
