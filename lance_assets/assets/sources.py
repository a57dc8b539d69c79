"""The source of a batch, opened, and what downloading its images takes."""

from __future__ import annotations

from pathlib import Path

from lance_assets.compute.slices import Plan, make_plan
from lance_assets.errors import BadInput
from lance_assets.settings import Platform, SourceEntry
from lance_assets.sources.base import Source
from lance_assets.sources.open import open_source
from lance_assets.store.files import DataRoot


def source_of(platform: Platform, id: str) -> Source:
    """The source that a batch key names. Raises BadInput when platform.yaml has it no longer."""
    return open_source(**platform.source_arguments(_entry(platform, id)))


def plan_of(platform: Platform, source: Source) -> Plan:
    """How the images of a source are loaded, as platform.yaml says. Raises BadInput."""
    config = platform.config()
    return make_plan(
        DataRoot(platform.home.data),
        config.limits.model_dump(exclude={"threads", "placeholder"}, exclude_none=True),
        source.own_hosts() | frozenset(config.allow_hosts),
        config.limits.threads,
        platform.home.cache / "downloads",
        platform.source_arguments(_entry(platform, source.id)),
        tuple(Path(folder).expanduser() for folder in config.image_roots),
        config.limits.placeholder,
    )


def _entry(platform: Platform, id: str) -> SourceEntry:
    for entry in platform.config().sources:
        if entry.id == id:
            return entry
    raise BadInput(f"{platform.home.platform_yaml} has no source {id!r}, but there are batches of it")
