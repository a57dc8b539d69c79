"""What the instance knows of runs, as the planners want it; and what they ask for, as Dagster wants it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES, RunRecord

from lance_assets.automation.requests import LOOK_BACK_S, Flight, Request, Tried
from lance_assets.tags import AUTOMATION_TAG, MADE_TAG, PARTITION, RANGE_END, RANGE_START, of_range

#: A run that was created and not submitted for so long was left by a daemon that died in between: it blocks nothing.
SUBMITTED_WITHIN = timedelta(minutes=10)
#: So many finished runs are looked at.
MOST_RUNS = 1000
OVER = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
UNFINISHED = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]


def in_flight(instance: dg.DagsterInstance, order: Sequence[str], everything: Collection[str]) -> Flight:
    """What is queued or running now, whoever asked for it. `order`: the batches in the order of the partitions;
    `everything`: names of all assets, which a run of Dagster's own asset job without a selection stands for."""
    busy: dict[str, set[str]] = {}
    own: dict[str, int] = {}
    statuses = [*IN_PROGRESS_RUN_STATUSES, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED]
    young = datetime.now(UTC) - SUBMITTED_WITHIN
    place = {key: at for at, key in enumerate(order)}
    for record in instance.get_run_records(dg.RunsFilter(statuses=statuses)):
        run = record.dagster_run
        if run.status == dg.DagsterRunStatus.NOT_STARTED and _utc(record.create_timestamp) < young:
            continue
        selected = _assets(run.asset_selection)
        for asset in selected or (everything if run.job_name.startswith("__") else ()):
            busy.setdefault(asset, set()).update(_batches(run.tags, order, place))
        if AUTOMATION_TAG in run.tags:
            own[run.tags[AUTOMATION_TAG]] = own.get(run.tags[AUTOMATION_TAG], 0) + 1
    for backfill in instance.get_backfills(filters=BulkActionsFilter(statuses=UNFINISHED)):
        for asset, batches in _of_backfill(backfill, everything):
            busy.setdefault(asset, set()).update(batches)
    return Flight(busy, own)


def tried(instance: dg.DagsterInstance, order: Sequence[str], what: str, ever: bool = False) -> list[Tried]:
    """The runs of one sensor that are over, the newest ones; of the last hours, or with `ever` however old."""
    place = {key: at for at, key in enumerate(order)}
    since = None if ever else datetime.now(UTC) - timedelta(seconds=LOOK_BACK_S)
    wanted = dg.RunsFilter(statuses=OVER, tags={AUTOMATION_TAG: what}, updated_after=since)
    return [_tried(record, order, place) for record in instance.get_run_records(wanted, limit=MOST_RUNS)]


def run_request(request: Request) -> dg.RunRequest:
    """Without a run_key: one that was used once is never launched again, whatever became of its run."""
    keys = [dg.AssetKey(name.split("/")) for name in request.assets]
    return dg.RunRequest(asset_selection=keys, tags={**request.tags, **of_range(request.ends)})


def _tried(record: RunRecord, order: Sequence[str], place: dict[str, int]) -> Tried:
    run = record.dagster_run
    ended = record.end_time or _utc(record.update_timestamp).timestamp()
    return Tried(
        assets=_assets(run.asset_selection),
        batches=_batches(run.tags, order, place),
        made=json.loads(run.tags.get(MADE_TAG, "{}")),
        began=record.start_time or ended,
        ended=ended,
    )


def _assets(keys: Iterable[dg.AssetKey] | None) -> list[str]:
    return [key.to_user_string() for key in keys or ()]


def _batches(tags: Mapping[str, str], order: Sequence[str], place: dict[str, int]) -> Sequence[str]:
    if PARTITION in tags:
        return [tags[PARTITION]]
    if not {tags.get(RANGE_START), tags.get(RANGE_END)} <= place.keys():
        return []
    return order[place[tags[RANGE_START]] : place[tags[RANGE_END]] + 1]


def _of_backfill(backfill: PartitionBackfill, everything: Collection[str]) -> Iterable[tuple[str, Collection[str]]]:
    """Assets and their batches. Its finished ones are among them: it holds them until it is over."""
    data = backfill.asset_backfill_data
    if data is None:
        for asset in _assets(backfill.asset_selection) or everything:
            yield asset, backfill.partition_names or ()
        return
    for key in data.target_subset.asset_keys:
        subset = data.target_subset.partitions_subsets_by_asset_key.get(key)
        yield key.to_user_string(), () if subset is None else [*subset.get_partition_keys()]


def _utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
