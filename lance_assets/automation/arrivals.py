"""What the sensor of a source finds there: batches to register, batches to download."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import dagster as dg

from lance_assets.automation.new_samples import missing, plan, ready_at, sensor_name
from lance_assets.automation.planner import look as look_at
from lance_assets.automation.requests import Limits, Request
from lance_assets.automation.world import World, attempts, look
from lance_assets.partitions import KEY
from lance_assets.settings import Platform, PlatformConfig, SourceEntry
from lance_assets.sources.base import Source
from lance_assets.sources.open import open_source
from lance_assets.store.captions import footers
from lance_assets.store.files import DataRoot
from lance_assets.store.ledger import IMAGE
from lance_assets.store.rejects import read_rejects

#: A source whose last run ended longer ago gives nothing more, for now.
ONGOING_S = 600


@dataclass(frozen=True)
class Asked:
    """`new`: batches to register. `cursor`: signature of the source once all of it was looked at; None = as before."""

    requests: list[Request] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    cursor: str | None = None
    says: str = ""


def ask_source(platform: Platform, instance: dg.DagsterInstance, id: str, cursor: str | None) -> Asked:
    """A source whose listing has the signature that the cursor holds costs that one listing. Raises BadInput,
    Unreachable."""
    config = platform.config()
    entry = next((one for one in config.sources if one.id == id), None)
    if entry is None or not platform.home.platform_yaml.exists():
        return Asked(says=f"{platform.home.platform_yaml} does not name the source {id}")
    source, world = _source(**platform.source_arguments(entry)), look(platform, instance, {})
    signature = _signature(source, entry, config)
    new, changed, says, complete = [], [], "nothing is new", False
    if signature != cursor:
        stored = footers(DataRoot(platform.home.data))
        known = [*world.order, *sorted(stored.keys() - set(world.order))]
        batches = of_source(known, id)
        found = look_at(source, batches, stored, config.batch_rows(entry), entry.rows, config.automation.files_per_tick)
        new = [*known[len(world.order) :], *world.unregistered, *found.new]
        changed, says = found.changed, found.in_words()
        complete = found.complete and not changed
    order = list(dict.fromkeys([*world.order, *new]))
    before = attempts(instance, order, sensor_name(id), config.automation)
    limits = Limits(config.automation.runs, config.automation.batches_per_run)
    lacking = of_source(_lacking(platform, world, order), id)
    stored_at = {batch: at for (batch, column), at in world.found.made.items() if column == IMAGE}
    made = _made(entry, config)
    asked = plan(id, lacking, changed, order, world.flight, before, made, limits, world.now, stored_at)
    waiting = f"; {len(lacking)} batches lack images" if lacking else ""
    return Asked(asked, new, signature if complete else None, f"{says}{waiting}")


def arriving(platform: Platform, instance: dg.DagsterInstance, world: World) -> list[str]:
    """Registered batches that are about to be downloaded: of a source from which something came in the last minutes,
    and not those which the last runs could not store. So a source that is gone holds nobody up."""
    config = platform.config()
    found: list[str] = []
    lacking = _lacking(platform, world, world.order)
    for entry in config.sources if lacking and platform.home.platform_yaml.exists() else []:
        before = attempts(instance, world.order, sensor_name(entry.id), config.automation)
        if not any(one.ended > world.now - ONGOING_S for one in before.tried):
            continue
        made = _made(entry, config)
        mine = of_source(lacking, entry.id)
        found += [key for key in mine if ready_at(key, world.flight, before, made) <= world.now]
    return found


def of_source(keys: Iterable[str], id: str) -> list[str]:
    """The batches of a source; a partition that somebody made by hand and that is no batch key belongs to none."""
    matches = ((key, KEY.fullmatch(key)) for key in keys)
    return [key for key, match in matches if match is not None and match["source"] == id]


def _lacking(platform: Platform, world: World, keys: Sequence[str]) -> list[str]:
    unstored = [key for key in keys if key not in world.found.stale]
    return missing(unstored, (), read_rejects(DataRoot(platform.home.data))) if unstored else []


@lru_cache(maxsize=64)
def _source(**arguments: Any) -> Source:
    """Kept from tick to tick: it remembers the digests of files that did not change."""
    return open_source(**arguments)


def _signature(source: Source, entry: SourceEntry, config: PlatformConfig) -> str:
    """Of all that decides what a look finds."""
    said = [source.signature(), entry.model_dump(mode="json"), config.batch_rows(entry)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def _made(entry: SourceEntry, config: PlatformConfig) -> str:
    """The settings by which batches of a source are loaded: a change is worth another try."""
    said = [entry.model_dump(mode="json"), config.allow_hosts, config.limits.model_dump(), config.image_roots]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]
