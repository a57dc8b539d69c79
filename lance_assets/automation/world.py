"""How a platform stands, as the planners want to know it: looked at anew on each tick, nothing is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
import lance

from lance_assets.automation.relabel import NO_MODEL, RELABEL, Column, Plan, fit_request, plan
from lance_assets.automation.requests import IMAGES, MODEL, RAW_CAPTIONS, Attempts, Flight, Limits, score_asset
from lance_assets.automation.runs import in_flight, tried
from lance_assets.automation.tail import CHECKPOINT, EVALUATION, TRAINING_SET
from lance_assets.compute.label import identity_of
from lance_assets.compute.scorers import needs_fit
from lance_assets.partitions import PARTITIONS
from lance_assets.scoring.alignment import Alignment
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.registry import in_the_pass, reads
from lance_assets.sections import Automation
from lance_assets.settings import Platform
from lance_assets.store.backlog import Backlog, backlog
from lance_assets.store.files import DataRoot
from lance_assets.store.table import exists, open_images

#: The pass of all light scorers.
LIGHT = "light"


@dataclass(frozen=True)
class World:
    """`order`: Dagster's partitions in their order, then stored batches that it does not know (`unregistered`). No
    `dataset` = no image was ever stored. `now`: POSIX seconds."""

    dataset: lance.LanceDataset | None
    found: Backlog
    order: list[str]
    unregistered: list[str]
    flight: Flight
    now: float


def look(platform: Platform, instance: dg.DagsterInstance, scorers: Mapping[str, Scorer]) -> World:
    """Raises BadInput, Unreachable. Without scorers only what is stored is looked at, not what is stale."""
    root = DataRoot(platform.home.data)
    now = datetime.now(UTC)
    registered = list(instance.get_dynamic_partitions(PARTITIONS))
    # Before the table: what is in flight no more by then has been published, and is not taken for stale.
    flight = in_flight(instance, registered, everything(list(scorers)))
    dataset = open_images(root) if exists(root) else None
    identities = [identity_of(scorer) for scorer in scorers.values()]
    found = backlog(root, dataset, identities, now) if dataset else Backlog()
    unregistered = sorted(found.stale.keys() - set(registered))
    return World(dataset, found, [*registered, *unregistered], unregistered, flight, now.timestamp())


def everything(scorers: Sequence[str]) -> list[str]:
    """Names of all assets."""
    return [RAW_CAPTIONS, IMAGES, MODEL, *map(score_asset, scorers), TRAINING_SET, CHECKPOINT, EVALUATION]


def columns_of(platform: Platform, scorers: Mapping[str, Scorer], dataset: lance.LanceDataset | None) -> list[Column]:
    """The score columns as the planner wants them. One that reads others comes after them."""
    unfitted = needs_fit(platform.home.models, dataset.count_rows() if dataset else 0)
    return [
        Column(
            name,
            f"{scorer.version} {scorer.config_hash()}",
            LIGHT if in_the_pass(scorer) else name,
            tuple(reads(scorer)),
            NO_MODEL if name == Alignment.name and unfitted else "",
        )
        for name, scorer in scorers.items()
    ]


def attempts(
    instance: dg.DagsterInstance, order: Sequence[str], what: str, said: Automation, ever: bool = False
) -> Attempts:
    """`ever`: tries are counted however long ago they were."""
    return Attempts(tried(instance, order, what, ever), said.retry_after_s)


def relabelling(platform: Platform, instance: dg.DagsterInstance, scorers: Mapping[str, Scorer], world: World) -> Plan:
    """What there is to label now, a fit of the model first where a column lacks one. Raises BadInput."""
    said = platform.config().automation
    before = attempts(instance, world.order, RELABEL, said)
    limits = Limits(said.runs, said.batches_per_run)
    columns = columns_of(platform, scorers, world.dataset)
    found = plan(world.found, world.order, columns, said.paused, world.flight, before, limits, world.now)
    wanting = [column for column in columns if column.scorer not in said.paused]
    found.requests[:0] = fit_request(wanting, bool(world.found.stale), world.flight, before, world.now)
    return found
