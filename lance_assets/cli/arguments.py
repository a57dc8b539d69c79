"""What the flags of `run` and `demo` may say, and what they change in platform.yaml."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any

from lance_assets.errors import BadInput
from lance_assets.objects import OBJECT_STORES
from lance_assets.settings import Platform, PlatformConfig, SourceEntry, load_config, validated
from lance_assets.sources.open import MODELSCOPE
from lance_assets.training.recipe import shipped

NAME = re.compile(r"[^a-z0-9]+")


def count(text: str) -> int:
    """The type of --rows and --batch-size."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def seed(text: str) -> int:
    """The type of --seed."""
    if not text.isascii() or not text.isdigit():
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def changed_config(platform: Platform, flags: Namespace) -> tuple[PlatformConfig, SourceEntry]:
    """platform.yaml with the flags laid over it, and the source that they name. Nothing is written yet.

    A source that is there already keeps its id and gets the new row limit and columns; another one is added. What the
    environment says is left out: it counts for one run and must not get into the file. Raises BadInput.
    """
    config = load_config(platform.home.platform_yaml, environment=False)
    known = config.sources if platform.home.platform_yaml.exists() else []
    spec = _absolute(flags.source)
    old = next((entry for entry in known if entry.spec == spec), None)
    said: dict[str, Any] = old.model_dump() if old else {"id": _new_id(spec, known), "spec": spec}
    said["rows"] = flags.rows if flags.rows is not None else said.get("rows")
    said["seed"] = flags.seed if flags.seed is not None else said.get("seed", 0)
    columns = {"url": flags.url_column, "caption": flags.caption_column}
    said["columns"] = {**(said.get("columns") or {}), **{name: value for name, value in columns.items() if value}}
    everything = config.model_dump()
    everything["sources"] = [entry.model_dump() for entry in known if entry is not old] + [said]
    if flags.batch_size is not None:
        everything["batch_size"] = flags.batch_size
    if flags.recipe is not None:
        own = flags.recipe not in shipped()
        everything["recipe"] = str(Path(flags.recipe).expanduser().absolute()) if own else flags.recipe
    everything["allow_hosts"] = list(dict.fromkeys([*config.allow_hosts, *flags.allow_host]))
    new = validated(everything, "the command line")
    return new, next(entry for entry in new.sources if entry.spec == spec)


def _absolute(spec: str) -> str:
    """A relative path would mean another folder to `dagster dev`. Raises BadInput for a spec of no known kind."""
    if spec == "demo" or MODELSCOPE.match(spec):
        return spec
    path = spec.removeprefix("files:")
    scheme, is_uri, _ = path.partition("://")
    if path in ("", spec) or (is_uri and scheme not in OBJECT_STORES):
        raise BadInput(
            f"--source {spec}: expected demo, modelscope:<owner/name>[@revision], or files:<path on this machine, or "
            f"{', '.join(f'{name}://' for name in OBJECT_STORES)}>"
        )
    if is_uri:
        return spec
    return f"files:{Path(path).expanduser().absolute()}"


def _new_id(spec: str, known: list[SourceEntry]) -> str:
    kind, _, rest = spec.partition(":")
    stem = re.split(r"[@*?\[]", rest.rstrip("/"))[0].rstrip("/").rpartition("/")[2].partition(".")[0]
    base = NAME.sub("_", (stem or kind).lower()).strip("_")[:30] or "source"
    taken = {entry.id for entry in known}
    return next(name for name in [base, *(f"{base}_{n}" for n in range(2, len(taken) + 3))] if name not in taken)
