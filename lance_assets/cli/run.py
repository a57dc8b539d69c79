"""`lance-assets run` and `demo`: the whole graph through Dagster, incrementally."""

from __future__ import annotations

import json
import shutil
import sys
import time
from argparse import ArgumentParser, Namespace

from filelock import FileLock, Timeout

from lance_assets.cli.arguments import changed_config
from lance_assets.errors import BadInput
from lance_assets.settings import Home, Platform, save_config


def add(parser: ArgumentParser, demo: bool) -> None:
    """The flags of `run`, or of `demo`, which is `run` on the demo source."""
    parser.add_argument("--rows", type=int, help="at most so many rows of the source, in all")
    parser.add_argument("--seed", type=int, help="demo: seed of the game")
    if demo:
        parser.set_defaults(
            source="demo", batch_size=None, recipe=None, allow_host=[], url_column=None, caption_column=None
        )
        return
    parser.add_argument(
        "--source", required=True, help="modelscope:<owner/name>[@revision] | files:<file, folder or glob> | demo"
    )
    parser.add_argument("--batch-size", type=int, help="rows per new batch")
    parser.add_argument("--recipe", help="a LLaMA-Factory YAML")
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="HOST:PORT", help="may be private; can be repeated"
    )
    parser.add_argument("--url-column", help="column of the image URL")
    parser.add_argument("--caption-column", help="column of the caption")


def main(flags: Namespace) -> int:
    """0 done, also with rejects; 1 an asset failed. Raises BadInput."""
    home = Home.find(flags.home)
    fresh = not home.root.exists()
    home.create()
    try:
        with FileLock(home.root / ".run.lock", timeout=0):
            return _run(Platform(home), flags)
    except Timeout as error:
        raise BadInput(f"another run is working on {home.root}; wait for it or use another --home") from error
    except BadInput:
        if fresh:
            shutil.rmtree(home.root)
        raise


def _run(platform: Platform, flags: Namespace) -> int:
    started = time.monotonic()
    config, entry = changed_config(platform, flags)
    # Dagster is imported only now: a mistyped flag answers at once.
    from lance_assets.cli.runs import open_instance, reap
    from lance_assets.cli.summary import summarize, words
    from lance_assets.cli.work import do_work, find_batches, known_batches, register
    from lance_assets.sources.open import open_source

    with open_instance(platform.home) as instance:
        for run_id in reap(instance):
            say(f"run {run_id} was dead: marked as failed")
        known = known_batches(platform, instance)
        with open_source(**platform.source_arguments(entry)).serving():
            say(f"looking for batches in {entry.spec}")
            found = find_batches(platform, entry, config, known)
            if not known and not found:
                raise BadInput(f"source {entry.spec} has no rows")
            save_config(platform.home.platform_yaml, config)
            register(instance, [*known, *found])
            discovered = time.monotonic() - started
            work = do_work(platform, instance, [*known, *found], say)
        work.seconds = {"discover": discovered, **work.seconds, "total": time.monotonic() - started}
        summary = summarize(platform, instance, [*known, *found], work)
    print("\n".join(words(summary)), file=sys.stderr if flags.json else sys.stdout)
    if flags.json:
        print(json.dumps(summary, ensure_ascii=False))
    return 1 if work.failed else 0


def say(line: str) -> None:
    """Progress goes to stderr, so that stdout ends with the JSON object."""
    print(f"{time.strftime('%H:%M:%S')}  {line}", file=sys.stderr, flush=True)
