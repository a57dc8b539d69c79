"""check_batches: the checks by batch as a job, and a sensor that asks for it where a run failed before its checks.

Dagster skips the checks of a step that raised, those of the batches that the step did, too.
"""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from lance_assets.automation.backfills import BATCHES
from lance_assets.automation.failed_steps import events_of
from lance_assets.partitions import PARTITIONS, batch_keys, contiguous
from lance_assets.tags import REASON_TAG, of_range

JOB = "check_batches"


def check_batches_job(checks: Sequence[dg.AssetChecksDefinition]) -> UnresolvedAssetJobDefinition:
    """Evaluates these checks, which are by batch, again."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.checks(*checks),
        partitions_def=BATCHES,
        description="Evaluates the checks of images and scores for the batches that are chosen; makes nothing.",
    )


def check_after_failure(
    job: UnresolvedAssetJobDefinition, checks: Sequence[dg.AssetChecksDefinition]
) -> dg.SensorDefinition:
    """The sensor that asks for that job, which has these checks."""
    by_asset: dict[dg.AssetKey, list[dg.AssetCheckKey]] = {}
    for key in (key for one in checks for key in one.check_keys):
        by_asset.setdefault(key.asset_key, []).append(key)

    @dg.run_failure_sensor(
        name="check_after_failure",
        description=f"Asks for {JOB} for the batches that a failed run did before it failed.",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        request_job=job,
    )
    def sensor(context: dg.RunFailureSensorContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
        run, order = context.dagster_run, batch_keys(context.instance.get_dynamic_partitions(PARTITIONS))
        unchecked = _unchecked(context.instance, run.run_id, by_asset)
        for batches, keys in _alike(unchecked).items():
            for ends in contiguous(set(batches) & set(order), order):
                tags = {REASON_TAG: f"run {run.run_id} failed before its checks", **of_range(ends)}
                yield dg.RunRequest(job_name=JOB, asset_selection=[], asset_check_keys=keys, tags=tags)
        if not unchecked:
            yield dg.SkipReason(f"run {run.run_id} left no batch unchecked")

    return sensor


def _unchecked(
    instance: dg.DagsterInstance, run_id: str, by_asset: Mapping[dg.AssetKey, Sequence[dg.AssetCheckKey]]
) -> dict[dg.AssetCheckKey, frozenset[str]]:
    """Batches that the run did, by check, where it did not evaluate them itself."""
    done: dict[dg.AssetKey, set[str]] = {}
    for event in events_of(instance, run_id, dg.DagsterEventType.ASSET_MATERIALIZATION):
        if event.asset_key is not None and event.partition is not None:
            done.setdefault(event.asset_key, set()).add(event.partition)
    looked: dict[dg.AssetCheckKey, set[str]] = {}
    for event in events_of(instance, run_id, dg.DagsterEventType.ASSET_CHECK_EVALUATION):
        said = event.asset_check_evaluation_data
        if said.partition is not None:
            looked.setdefault(said.asset_check_key, set()).add(said.partition)
    left = {
        key: frozenset(batches - looked.get(key, set()))
        for asset, batches in done.items()
        for key in by_asset.get(asset, ())
    }
    return {key: batches for key, batches in left.items() if batches}


def _alike(left: Mapping[dg.AssetCheckKey, frozenset[str]]) -> dict[frozenset[str], list[dg.AssetCheckKey]]:
    """Checks by the batches that they miss: one run can do them all."""
    found: dict[frozenset[str], list[dg.AssetCheckKey]] = {}
    for key, batches in left.items():
        found.setdefault(batches, []).append(key)
    return found
