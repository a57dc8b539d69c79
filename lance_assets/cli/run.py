"""`lance-assets run` and `demo`: the whole graph through Dagster, incrementally."""

from __future__ import annotations

import json
import sys
import time
from argparse import ArgumentParser, Namespace

from lance_assets.cli.arguments import changed_config, count, seed
from lance_assets.cli.ready import check, claimed
from lance_assets.errors import BadInput
from lance_assets.settings import Home, Platform, save_config

SPEC = (
    "modelscope:<owner/name>[@revision], or files:<file, folder or glob of jsonl, json, csv, parquet, arrow; here or "
    "in an object store>, or demo"
)
KEPT = "What the flags say is kept in <home>/platform.yaml, for later runs and for lance-assets dev."


def add(parser: ArgumentParser) -> None:
    parser.add_argument("--source", required=True, metavar="SPEC", help=SPEC)
    _add_common(parser)
    parser.add_argument("--batch-size", type=count, metavar="B", help="rows of a new batch (default: 10000, demo 300)")
    parser.add_argument("--recipe", metavar="FILE", help="a LLaMA-Factory YAML file (default: demo, a tiny Qwen2.5-VL)")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="HOST:PORT",
        help="an image server that may have a private address; can be repeated",
    )
    parser.add_argument(
        "--url-column",
        metavar="C",
        help="the image's URL (default: opensource_url, image_url, url, image, images or file_name)",
    )
    parser.add_argument(
        "--caption-column", metavar="C", help="the caption (default: global_caption, cap_seg, caption or text)"
    )
    parser.epilog = KEPT


def add_demo(parser: ArgumentParser) -> None:
    """`demo` is `run` on the demo source."""
    _add_common(parser)
    parser.set_defaults(
        source="demo", batch_size=None, recipe=None, allow_host=[], url_column=None, caption_column=None
    )
    parser.epilog = KEPT


def _add_common(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--rows", type=count, metavar="N", help="at most so many rows of the source, in all (default: all, demo 600)"
    )
    parser.add_argument("--seed", type=seed, metavar="S", help="which game the demo plays (default: 0)")
    parser.set_defaults(main=main)


def main(flags: Namespace) -> int:
    """0 done, also with rejects; 1 an asset failed. Raises BadInput."""
    home = Home.find(flags.home)
    check(changed_config(Platform(home), flags)[0], home)
    with claimed(home):
        return _run(Platform(home), flags)


def _run(platform: Platform, flags: Namespace) -> int:
    started = time.monotonic()
    # Once more under the lock: another run may have changed the file. Dagster is imported only now, so that a mistyped
    # flag answers at once.
    config, entry = changed_config(platform, flags)
    from lance_assets.automation.dead_runs import reap
    from lance_assets.cli.runs import open_instance
    from lance_assets.cli.summary import summarize, words
    from lance_assets.cli.work import do_work, find_batches, known_batches, register
    from lance_assets.compute.cluster import probe
    from lance_assets.sources.open import open_source

    if address := platform.config().ray.address:
        probe(address)
    with open_instance(platform.home) as instance:
        for run_id in reap(instance):
            say(f"run {run_id} was dead: marked as failed")
        known = known_batches(platform, instance)
        with open_source(**platform.source_arguments(entry)).serving():
            say(f"looking for batches in {entry.spec}")
            found = find_batches(platform, entry, config, known)
            say(f"{entry.spec}: {found.in_words()}")
            if not known and not found.new:
                raise BadInput(f"source {entry.spec} has no rows")
            save_config(platform.home.platform_yaml, config)
            register(instance, [*known, *found.new])
            discovered = time.monotonic() - started
            work = do_work(platform, instance, [*known, *found.new], found.changed, say)
        work.seconds = {"discover": discovered, **work.seconds, "total": time.monotonic() - started}
        summary = summarize(platform, instance, [*known, *found.new], work)
    print("\n".join(words(summary)), file=sys.stderr if flags.json else sys.stdout)
    if flags.json:
        print(json.dumps(summary, ensure_ascii=False))
    return 1 if work.failed else 0


def say(line: str) -> None:
    """Progress goes to stderr, so that stdout ends with the JSON object."""
    print(f"{time.strftime('%H:%M:%S')}  {line}", file=sys.stderr, flush=True)
