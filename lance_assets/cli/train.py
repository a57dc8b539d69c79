"""`lance-assets train RECIPE`: LLaMA-Factory on the newest training set, in this terminal, without Dagster and Ray."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from lance_assets.errors import BadInput, MissingExtra
from lance_assets.settings import Home


def add(parser: ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="a LLaMA-Factory YAML, or the name of a packaged recipe")
    parser.add_argument("--gpus", type=int, help="GPUs to use, one process each (default: all)")
    parser.set_defaults(main=main)


def main(flags: Namespace) -> int:
    """A recipe that names its own `dataset` is run as it is (own_recipe). Raises BadInput, MissingExtra, Failed."""
    from importlib import util

    from lance_assets.training.recipe import read_yaml, shipped

    if util.find_spec("llamafactory") is None:
        raise MissingExtra("llamafactory", "train", "training")
    if flags.recipe not in shipped() and "dataset" in read_yaml(Path(flags.recipe)):
        from lance_assets.training.own_recipe import run_own

        if flags.json:
            raise BadInput("--json: a recipe with a dataset of its own reports as LLaMA-Factory does")
        run_own(Path(flags.recipe).absolute(), flags.gpus)
        return 0
    return _on_training_set(Home.find(flags.home), flags)


def _on_training_set(home: Home, flags: Namespace) -> int:
    from lance_assets.store.files import DataRoot
    from lance_assets.store.selection import latest_manifest
    from lance_assets.training.child import Child
    from lance_assets.training.tune import Order, Places, fine_tune

    manifest = latest_manifest(DataRoot(home.data))
    if manifest is None:
        raise BadInput(f"{home.root} has no training set yet: lance-assets run, or materialize sft_dataset, makes one")
    run = Child(lambda line: print(line, file=sys.stderr, flush=True))
    places = Places(home.models, home.checkpoints)
    summary = fine_tune(manifest, Order(flags.recipe, gpus=flags.gpus), places, run, "cli", run.report)
    told = f"{summary['path']}: {summary['steps']} steps, loss {summary['loss_first']} -> {summary['loss_last']}"
    print(json.dumps(summary) if flags.json else told)
    return 0
