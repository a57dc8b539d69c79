"""The sensors: thin shells over the planners. Each looks at the platform anew and asks for what is missing now, whoever
made it missing, so a fresh cursor, a failed run or a daemon that was killed loses nothing.

They run unless somebody stops them in the UI; platform.yaml switches them off, or single columns, without a reload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import dagster as dg

from lance_assets.automation import tail
from lance_assets.automation.arrivals import arriving, ask_source
from lance_assets.automation.new_samples import sensor_name
from lance_assets.automation.relabel import RELABEL, Plan
from lance_assets.automation.renewals import tail_of
from lance_assets.automation.requests import IMAGES, MODEL, RAW_CAPTIONS, Request, score_asset
from lance_assets.automation.runs import run_request
from lance_assets.automation.world import attempts, look, relabelling
from lance_assets.compute.drift import held_back
from lance_assets.compute.scorers import platform_scorers
from lance_assets.errors import BadInput, Unreachable
from lance_assets.partitions import PARTITIONS
from lance_assets.settings import Platform

NO_IMAGES = "no image is stored yet"
Tick = Callable[[dg.SensorEvaluationContext], dg.SensorResult]


def sensors(platform: Platform, scorers: Sequence[str]) -> list[dg.SensorDefinition]:
    """The sensors of a platform, one for each source that platform.yaml names now."""
    config = platform.config()
    said = config.automation
    labels = [MODEL] if "alignment" in scorers else []
    made = [
        _sensor(
            RELABEL,
            "Scores stale cells.",
            _relabel(platform, scorers),
            [*labels, *map(score_asset, scorers)],
            said.labels_every_s,
        ),
        _sensor(
            tail.TAIL,
            "Renews the training set once its columns are fresh; trains where platform.yaml says so.",
            _tail(platform, scorers),
            [tail.TRAINING_SET, tail.CHECKPOINT, tail.EVALUATION],
            said.labels_every_s,
        ),
    ]
    for entry in config.sources:
        about = f"Registers and downloads what is new in {entry.spec}."
        name = sensor_name(entry.id)
        made.append(
            _sensor(name, about, _new_samples(platform, entry.id), [RAW_CAPTIONS, IMAGES], said.sources_every_s)
        )
    return made


def _sensor(name: str, about: str, tick: Tick, assets: Sequence[str], every_s: int) -> dg.SensorDefinition:
    def evaluate(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        try:
            return tick(context)
        except (BadInput, Unreachable) as error:  # said on the tick; the other sensors go on
            return dg.SensorResult(skip_reason=dg.SkipReason(str(error)))

    return dg.SensorDefinition(
        name=name,
        evaluation_fn=evaluate,
        asset_selection=dg.AssetSelection.assets(*(dg.AssetKey(asset.split("/")) for asset in assets)),
        minimum_interval_seconds=every_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=about,
    )


def _relabel(platform: Platform, loaded: Sequence[str]) -> Tick:
    def tick(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        said = platform.config().automation
        if not said.relabel:
            return _skipped("automation.relabel is off in platform.yaml")
        named = platform_scorers(platform)
        scorers = {name: scorer for name, scorer in named.items() if name in loaded}
        world = look(platform, context.instance, scorers)
        if world.dataset is None:
            return _skipped(NO_IMAGES)
        found = relabelling(platform, context.instance, scorers, world)
        says = "; ".join([_in_words(found), *_not_loaded(named, loaded), *_not_there(said.paused, named)])
        return _result(found.requests, says, world.unregistered)

    return tick


def _new_samples(platform: Platform, source: str) -> Tick:
    def tick(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        if not platform.config().automation.new_samples:
            return _skipped("automation.new_samples is off in platform.yaml")
        asked = ask_source(platform, context.instance, source, context.cursor)
        return _result(asked.requests, asked.says, asked.new, asked.cursor)

    return tick


def _tail(platform: Platform, loaded: Sequence[str]) -> Tick:
    def tick(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        said = platform.config().automation
        if not said.training_set:
            return _skipped("automation.training_set is off in platform.yaml")
        scorers = platform_scorers(platform)
        if strangers := _not_loaded(scorers, loaded):
            return _skipped(strangers[0])
        world = look(platform, context.instance, scorers)
        if world.dataset is None:
            return _skipped(NO_IMAGES)
        columns = relabelling(platform, context.instance, scorers, world)
        coming = arriving(platform, context.instance, world) if said.new_samples else []
        why = tail.unsettled(world.found, columns, world.flight, coming)
        # A training may take longer than runs are looked back at otherwise: a broken one is not to be tried for ever.
        before = attempts(context.instance, world.order, tail.TAIL, said, ever=True)
        stands = tail_of(platform, context.instance, scorers, world.dataset.version, why)
        found = tail.plan(stands, said.train, world.flight, before, world.now)
        if found.request is None:
            return _skipped(found.says)
        # Last, and only where something would be asked for: it reads labels.
        held = held_back(platform, world.dataset, list(scorers))
        return _skipped(held) if held else _result([found.request], found.says)

    return tick


def _result(
    requests: Sequence[Request], says: str, new: Sequence[str] = (), cursor: str | None = None
) -> dg.SensorResult:
    """The partitions are registered before the runs are made; a daemon that dies in between asks again."""
    add = dg.DynamicPartitionsDefinition(name=PARTITIONS).build_add_request(list(new))
    return dg.SensorResult(
        run_requests=[run_request(request) for request in requests],
        skip_reason=None if requests else dg.SkipReason(says),
        dynamic_partitions_requests=[add] if new else [],
        cursor=cursor,
    )


def _skipped(why: str) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=dg.SkipReason(why))


def _not_loaded(named: Iterable[str], loaded: Sequence[str]) -> list[str]:
    """What to say of scorers that platform.yaml got since: Dagster cannot run an asset that it did not load."""
    strangers = [name for name in named if name not in loaded]
    return [f"platform.yaml names {', '.join(strangers)} by now: reload the code location"] if strangers else []


def _not_there(paused: Sequence[str], named: Iterable[str]) -> list[str]:
    """What to say of names in automation.paused that are no scorers (any more): they pause nothing."""
    return [f"automation.paused: there is no scorer {name}" for name in sorted(set(paused) - set(named))]


def _in_words(found: Plan) -> str:
    """Why nothing is asked for."""
    lines = [
        f"{scorer}: {len(batches)} batches are stale: {why}"
        for scorer, whys in found.waiting.items()
        for why, batches in whys.items()
    ]
    lines += [f"{scorer}: {len(batches)} batches are in flight" for scorer, batches in found.coming.items()]
    return "; ".join(lines) or "nothing is stale"
