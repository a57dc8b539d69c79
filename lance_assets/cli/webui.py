"""`lance-assets webui`: LLaMA-Factory's own Web UI on loopback, with the training sets of the home registered."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from importlib import util

from lance_assets.errors import BadInput, MissingExtra
from lance_assets.settings import Home, Platform

PORT = 7860


def add(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=PORT, help=f"on 127.0.0.1 (default {PORT})")
    parser.set_defaults(main=main)


def main(flags: Namespace) -> int:
    """Until Ctrl-C or kill: 0. Raises BadInput, MissingExtra."""
    if util.find_spec("llamafactory") is None:
        raise MissingExtra("llamafactory", "train", "the Web UI")
    from lance_assets.store.files import DataRoot
    from lance_assets.store.selection import manifests
    from lance_assets.training.recipe import load_recipe
    from lance_assets.training.tune import TINY
    from lance_assets.training.webui import prepare_folder, ui_environment

    home = Home.find(flags.home)
    pinned = manifests(DataRoot(home.data))[::-1]  # the newest first
    if not pinned:
        raise BadInput(f"{home.root} has no training set yet: lance-assets run, or materialize sft_dataset, makes one")
    folder = home.root / "webui"
    recipe = load_recipe(Platform(home).config().recipe)
    names = prepare_folder(folder, pinned, recipe, home.models / TINY)
    print(f"data sets: {', '.join(names)}\nWeb UI at http://127.0.0.1:{flags.port}, Ctrl-C ends it", flush=True)
    ui = subprocess.Popen(
        [sys.executable, "-m", "llamafactory.cli", "webui"],
        cwd=folder,
        env={**os.environ, **ui_environment(flags.port)},
    )
    for number in (signal.SIGINT, signal.SIGTERM):  # also where `webui &` in a script inherits to ignore Ctrl-C
        signal.signal(number, lambda *_: ui.terminate())
    try:
        code = ui.wait()
    finally:
        ui.terminate()
        ui.wait()
    return 0 if code in (-signal.SIGINT, -signal.SIGTERM) else code
