"""`lance-assets promote --column NAME | --checkpoint DIR --reason TEXT [--by NAME]`: accepts labels that a new version
of their scorer moved further than checks.drift allows, or makes a tuned model the one that labels."""

from __future__ import annotations

import getpass
import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lance_assets.errors import BadInput
from lance_assets.settings import Home, Platform

if TYPE_CHECKING:
    from lance_assets.store.promotions import Promotion


def add(parser: ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--column", metavar="NAME", help="the score column whose new labels are accepted")
    what.add_argument("--checkpoint", metavar="DIR", type=Path, help="the evaluated checkpoint that is to label")
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why; kept for good, and shown with the column")
    parser.add_argument("--by", metavar="NAME", help="who accepts them (default: the user of this terminal)")
    parser.set_defaults(main=main)


def main(flags: Namespace) -> int:
    """1 where some labels of the column could not be accepted. Raises BadInput where none wait, none could, or the
    reason is empty."""
    home = Home.find(flags.home)
    if not home.dagster.exists():
        raise BadInput(f"there is no platform at {home.root} yet: lance-assets demo --home {home.root} makes one")
    by = flags.by or getpass.getuser()
    if flags.checkpoint is not None:
        told = promote_labeller(home, flags.checkpoint, by, flags.reason)
        lines = [f"labeller  {told['checkpoint']}, by {told['by']} at {told['time']}", f"reason    {told['reason']}"]
    else:
        told = promote_column(Platform(home), flags.column, by, flags.reason)
        lines = words(told)
    print(json.dumps(told, ensure_ascii=False) if flags.json else "\n".join(lines))
    return 1 if told.get("left") else 0


def promote_labeller(home: Home, checkpoint: Path, by: str, reason: str) -> dict[str, Any]:
    """Makes a checkpoint the labeller, and tells Dagster, which knows it as an asset made elsewhere."""
    import dagster as dg

    from lance_assets.cli.runs import open_instance
    from lance_assets.training.labeller import promote_checkpoint

    told = promote_checkpoint(checkpoint, home.models, reason, by)
    said = {name: told[name] for name in ("checkpoint", "tag", "reason", "by", "model_digest")}
    with open_instance(home) as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization("labeller_checkpoint", metadata=said))
    return told


def promote_column(platform: Platform, name: str, by: str, reason: str) -> Promotion:
    """Records the promotion, ends the trials of the column, and tells Dagster, so that its screens show it."""
    from lance_assets.checks.promoted import promoted
    from lance_assets.cli.runs import open_instance
    from lance_assets.compute.drift import drift_limits
    from lance_assets.store.columns import column_of, scorer_of
    from lance_assets.store.files import DataRoot
    from lance_assets.store.promotions import promote

    column = column_of(scorer_of(name))
    told = promote(DataRoot(platform.home.data), column, drift_limits(platform), by, reason)
    with open_instance(platform.home) as instance:
        for event in promoted(told):
            instance.report_runless_asset_event(event)
    return told


def words(told: Promotion) -> list[str]:
    """For people."""
    lines = [f"accepted  {told['column']} in {len(told['verdicts'])} batches, by {told['by']} at {told['time']}"]
    lines += [f"reason    {told['reason']}"]
    lines += [f"verdict   {one['batch']}: {'; '.join(one['why'])}" for one in told["verdicts"]]
    left = told.get("left", {})
    lines += [f"left      {batch}: {why}" for batch, why in left.items()]
    return [*lines, f"next      {'promote again' if left else 'materialize sft_dataset, or lance-assets run again'}"]
