"""`lance-assets promote --column NAME --reason TEXT [--by NAME]`: accepts labels that a new version of their scorer
moved further than checks.drift allows."""

from __future__ import annotations

import getpass
import json
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from lance_assets.errors import BadInput
from lance_assets.settings import Home, Platform

if TYPE_CHECKING:
    from lance_assets.store.promotions import Promotion


def add(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--column", metavar="NAME", required=True, help="the score column whose new labels are accepted"
    )
    parser.add_argument("--reason", metavar="TEXT", required=True, help="why; kept for good, and shown with the column")
    parser.add_argument("--by", metavar="NAME", help="who accepts them (default: the user of this terminal)")
    parser.set_defaults(main=main)


def main(flags: Namespace) -> int:
    """Raises BadInput where no labels of the column wait, or the reason is empty."""
    home = Home.find(flags.home)
    if not home.dagster.exists():
        raise BadInput(f"there is no platform at {home.root} yet: lance-assets demo --home {home.root} makes one")
    told = promote_column(Platform(home), flags.column, flags.by or getpass.getuser(), flags.reason)
    print(json.dumps(told, ensure_ascii=False) if flags.json else "\n".join(words(told)))
    return 0


def promote_column(platform: Platform, name: str, by: str, reason: str) -> Promotion:
    """Records the promotion, ends the trials of the column, and tells Dagster, so that its screens show it."""
    from lance_assets.assets.common import drift_limits
    from lance_assets.checks.promoted import promoted
    from lance_assets.cli.runs import open_instance
    from lance_assets.store.claims import Busy
    from lance_assets.store.columns import column_of, scorer_of
    from lance_assets.store.files import DataRoot
    from lance_assets.store.promotions import promote

    column = column_of(scorer_of(name))
    try:
        told = promote(DataRoot(platform.home.data), column, drift_limits(platform), by, reason)
    except Busy as error:
        raise BadInput(f"{error}; promote again once it is done") from error
    with open_instance(platform.home) as instance:
        for event in promoted(told):
            instance.report_runless_asset_event(event)
    return told


def words(told: Promotion) -> list[str]:
    """For people."""
    lines = [f"accepted  {told['column']} in {len(told['verdicts'])} batches, by {told['by']} at {told['time']}"]
    lines += [f"reason    {told['reason']}"]
    lines += [f"verdict   {one['batch']}: {'; '.join(one['why'])}" for one in told["verdicts"]]
    return [*lines, "next      materialize sft_dataset, or lance-assets run again"]
