"""What can be known to be wrong before any work: a run that is doomed ends before it writes or downloads anything."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path

from filelock import FileLock, Timeout

from lance_assets.compute import is_local
from lance_assets.errors import BadInput, MissingExtra
from lance_assets.scoring.registry import Entry, configured
from lance_assets.settings import RAY_VARIABLE, Home, PlatformConfig
from lance_assets.training.recipe import load_recipe

TRAINING_PACKAGES = ("torch", "transformers", "llamafactory")
LOCK = ".run.lock"


def check(config: PlatformConfig, home: Home) -> None:
    """Raises BadInput for an unusable recipe or scorer, MissingExtra where training runs here and cannot."""
    load_recipe(config.recipe)
    chosen = config.scorers
    configured(None if chosen is None else [Entry(**entry.model_dump()) for entry in chosen], home.root)
    if is_local(os.environ.get(RAY_VARIABLE) or config.ray.address):
        for package in TRAINING_PACKAGES:
            if util.find_spec(package) is None:
                raise MissingExtra(package, "train", "training")


@contextmanager
def claimed(home: Home) -> Iterator[None]:
    """The home, made where it is missing, for this process alone. Bad input unmakes what was made here, as long as
    platform.yaml is what it was. Raises BadInput when another run holds the home."""
    said = _said(home)
    places = (*home.local_data, home.dagster, home.cache, home.demo, home.root / LOCK)
    own = [path for path in places if not path.exists()]
    above = [folder for data in home.local_data for folder in data.parents]
    folders = [path for path in (home.root, *home.root.parents, *above) if not path.exists()]
    try:
        home.create()
    except BadInput:
        _remove(own, folders)
        raise
    try:
        with FileLock(home.root / LOCK, timeout=0):
            try:
                yield
            except BadInput:
                if _said(home) == said:
                    _remove(own, folders)
                raise
    except Timeout as error:
        raise BadInput(f"another run is working on {home.root}; wait for it or use another --home") from error


def _said(home: Home) -> bytes | None:
    return home.platform_yaml.read_bytes() if home.platform_yaml.exists() else None


def _remove(own: list[Path], folders: list[Path]) -> None:
    """Of `folders` (deepest first) only those that nobody else has put anything into."""
    for path in own:
        if path.is_dir():
            shutil.rmtree(path)
        elif path.exists():
            path.unlink()
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
