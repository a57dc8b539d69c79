"""`lance-assets maintain compact | cleanup | verify | migrate`: the upkeep of the tables, safe while others work."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from lance_assets.cli.arguments import count
from lance_assets.cli.run import say
from lance_assets.errors import BadInput
from lance_assets.settings import Home

if TYPE_CHECKING:
    from lance_assets.store.files import DataRoot
    from lance_assets.store.verify import Verified

#: The flags of each act, by their place in the namespace.
ACTS = {"compact": ("rows", "batch"), "cleanup": ("older_than",), "verify": ("deep", "relabel"), "migrate": ()}
ROWS, DAYS = 10_000, 7

Answer = tuple[dict[str, Any], list[str], int]


def add(parser: ArgumentParser) -> None:
    parser.add_argument(
        "act",
        choices=list(ACTS),
        help="compact: fewer fragments, batch by batch; cleanup: old versions and expired files go; verify: are all "
        "files whole and explained; migrate: an older format becomes this release's",
    )
    parser.add_argument("--rows", type=count, metavar="N", help=f"compact: rows of a fragment (default: {ROWS})")
    parser.add_argument("--batch", action="append", metavar="KEY", help="compact: only this batch; can be repeated")
    parser.add_argument(
        "--older-than", type=_days, metavar="DAYS", help=f"cleanup: what is younger stays (default: {DAYS})"
    )
    parser.add_argument("--deep", action="store_true", default=None, help="verify: compare every image with its digest")
    parser.add_argument(
        "--relabel", action="store_true", default=None, help="verify: make the cells that it names stale"
    )
    parser.set_defaults(main=main)


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"{text!r} is not a whole number of days")
    return int(text)


def main(flags: Namespace) -> int:
    """0 done; 1 where verify found problems, or somebody else works on a batch for too long. Raises BadInput."""
    for act, names in ACTS.items():
        for name in names:
            if act != flags.act and getattr(flags, name) is not None:
                raise BadInput(f"--{name.replace('_', '-')} belongs to maintain {act}, not to maintain {flags.act}")
    home = Home.find(flags.home)
    if not home.dagster.exists():
        raise BadInput(f"there is no platform at {home.root} yet: lance-assets demo --home {home.root} makes one")
    from lance_assets.store.claims import Busy, LostClaim
    from lance_assets.store.files import DataRoot
    from lance_assets.store.objects import reachable
    from lance_assets.store.table import GaveUp

    root, does = DataRoot(home.data), {"compact": compact, "cleanup": cleanup, "verify": verify, "migrate": migrate}
    try:
        with reachable(root.uri):
            found, lines, code = does[flags.act](root, flags)
    except (Busy, LostClaim, GaveUp) as error:
        print(f"lance-assets: {error}; what is done stays, try again later", file=sys.stderr)
        return 1
    print(json.dumps(found, ensure_ascii=False) if flags.json else "\n".join(lines))
    return code


def compact(root: DataRoot, flags: Namespace) -> Answer:
    from lance_assets.store.compact import compact
    from lance_assets.store.table import batch_fragments, open_images

    dataset = open_images(root)
    for batch in flags.batch or ():
        if not batch_fragments(dataset, batch):
            raise BadInput(f"--batch {batch}: no row of such a batch is stored at {root.uri}")
    done = compact(root, flags.rows or ROWS, flags.batch, report=say)
    rows = sum(one.rows for one in done)
    line = f"{len(done)} batches compacted, {rows} rows moved; labels, images and ids are as they were"
    return {"compacted": [vars(one) for one in done]}, [line if done else "nothing to compact"], 0


def cleanup(root: DataRoot, flags: Namespace) -> Answer:
    from datetime import timedelta

    from lance_assets.store.cleanup import cleanup

    started, days = time.monotonic(), DAYS if flags.older_than is None else flags.older_than
    say(f"removing what is older than {days} days and held by nobody")
    done = cleanup(root, timedelta(days=days))
    seconds = time.monotonic() - started
    say(f"{done.versions} versions in {seconds:.1f} s, {done.versions / max(seconds, 1e-9):.0f} versions/s")
    lines = [f"{done.versions} old versions and {len(done.expired)} expired files removed, {done.bytes / 1e6:.1f} MB"]
    lines += [f"kept  {name}: {reason or 'no reason given'}" for name, reason in sorted(done.kept.items())]
    lines += [f"left alone  {batch}: somebody works on it" for batch in done.busy]
    return vars(done), lines, 0


def verify(root: DataRoot, flags: Namespace) -> Answer:
    from lance_assets.store.verify import relabel, verify

    started = time.monotonic()
    say("looking at every file" + (" and every image" if flags.deep else ""))
    found = verify(root, deep=bool(flags.deep))
    seconds = time.monotonic() - started
    say(f"{found.files} files in {seconds:.1f} s, {found.files / max(seconds, 1e-9):.0f} files/s")
    marked = relabel(root, found.problems) if flags.relabel else 0
    said = {
        "clean": found.clean,
        "fragments": found.fragments,
        "files": found.files,
        "problems": [vars(one) for one in found.problems],
        "orphans": [vars(one) for one in found.orphans],
        "marked_stale": marked,
    }
    lines = _findings(found)
    if marked:
        lines.append(f"{marked} column files are marked: the next labelling pass scores their cells again")
    return said, lines, 0 if found.clean else 1


def _findings(found: Verified) -> list[str]:
    """What is wrong, one line for each (column, batch, fragment)."""
    cells: dict[tuple[str, str, int, str], list[str]] = {}
    for one in found.problems:
        cells.setdefault((one.column or "", one.batch, one.fragment, one.file), []).append(f"{one.kind}: {one.detail}")
    lines = [
        f"{f'relabel {column}' if column else 'ingest anew'}  batch {batch}, fragment {fragment}, file {file}: "
        + "; ".join(why)
        for (column, batch, fragment, file), why in cells.items()
    ]
    announced = [one for one in found.orphans if one.announced]
    if found.orphans:
        size = sum(one.bytes for one in found.orphans) / 1e6
        lines.append(
            f"{len(found.orphans)} files ({size:.1f} MB) are used by no version; "
            f"maintain cleanup removes {len(announced)} of them when they expire"
        )
    state = "nothing is wrong" if found.clean else f"{len(cells)} files are wrong"
    return [*lines, f"{found.files} files of {found.fragments} fragments: {state}"]


def migrate(root: DataRoot, flags: Namespace) -> Answer:
    from lance_assets.store.migrate import migrate

    before, now = migrate(root)
    line = f"format {now} already" if before == now else f"format {before} became {now}"
    return {"before": before, "now": now}, [line], 0
