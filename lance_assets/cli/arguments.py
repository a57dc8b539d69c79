"""What the flags of `run` and `demo` change in platform.yaml."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path
from typing import Any

from lance_assets.errors import BadInput
from lance_assets.settings import Platform, PlatformConfig, SourceEntry, validated

NAME = re.compile(r"[^a-z0-9]+")


def changed_config(platform: Platform, flags: Namespace) -> tuple[PlatformConfig, SourceEntry]:
    """platform.yaml with the flags laid over it, and the source that they name. Nothing is written yet.

    A source that is there already keeps its id and gets the new row limit and columns; another one is added. Raises
    BadInput.
    """
    config = platform.config()
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
        everything["recipe"] = str(Path(flags.recipe).absolute()) if Path(flags.recipe).exists() else flags.recipe
    everything["allow_hosts"] = list(dict.fromkeys([*config.allow_hosts, *flags.allow_host]))
    new = validated(everything, "the command line")
    return new, next(entry for entry in new.sources if entry.spec == spec)


def _absolute(spec: str) -> str:
    """A relative path would mean another folder to `dagster dev`."""
    if not spec.startswith("files:"):
        return spec
    path = spec.removeprefix("files:")
    if not path or "://" in path:
        raise BadInput(f"--source {spec}: expected files:<file, folder or glob> on this machine")
    return f"files:{Path(path).expanduser().absolute()}"


def _new_id(spec: str, known: list[SourceEntry]) -> str:
    kind, _, rest = spec.partition(":")
    stem = re.split(r"[@*?\[]", rest.rstrip("/"))[0].rstrip("/").rpartition("/")[2].partition(".")[0]
    base = NAME.sub("_", (stem or kind).lower()).strip("_")[:30] or "source"
    taken = {entry.id for entry in known}
    return next(name for name in [base, *(f"{base}_{n}" for n in range(2, len(taken) + 3))] if name not in taken)
