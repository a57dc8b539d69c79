"""What a run did before it failed: its good batches are materialized, and checked by a run that a sensor asks for."""

from typing import Any

import dagster as dg
import pytest

from lance_assets.assets.image_dataset import image_dataset
from lance_assets.automation.backfills import BATCHES
from lance_assets.definitions import build
from lance_assets.partitions import PARTITIONS
from lance_assets.tags import PARTITION, REASON_TAG
from lance_assets_tests.graph.platforms import after_failure
from lance_assets_tests.numbered import KEY, A, B, Place, ends

C = "shots-0123abcd-80-120"


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "home")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(PARTITIONS, [A, B, C])
        yield instance


def failing(key, done):
    """A stand-in for an asset that made these batches and then failed."""

    @dg.asset(key=key, partitions_def=BATCHES)
    def stand_in():
        yield from (dg.AssetMaterialization(key, partition=batch) for batch in done)
        raise dg.Failure("the others are done")

    return stand_in


def asked_for(place, instance, result):
    """What the sensor asks for after a run: (checks, tags) of each run, or why it asks for none."""
    context = after_failure("check_after_failure", instance, result)
    found: Any = build(place.platform).resolve_sensor_def("check_after_failure")(context)
    return list(found)


def test_batches_that_a_failed_run_made_are_checked_by_a_run_of_their_own(place, instance):
    place.label(A, B)
    assets = [failing(KEY, [A, C]), failing(image_dataset.key, [A])]
    first, second = (
        dg.materialize([one], instance=instance, tags=ends((A, C)), raise_on_error=False) for one in assets
    )
    requests = [*asked_for(place, instance, first), *asked_for(place, instance, second)]
    assert [one.tags[PARTITION] for one in requests] == [A, C, A], "B was not made, so it parts the range"
    assert first.run_id in requests[0].tags[REASON_TAG]
    job = build(place.platform).resolve_job_def(requests[0].job_name)
    found = set()
    for one in (requests[0], requests[2]):
        subset = job.get_subset(asset_selection=set(), asset_check_selection=set(one.asset_check_keys))
        done = subset.execute_in_process(instance=instance, tags=one.tags)
        found |= {(check.check_name, check.partition) for check in done.get_asset_check_evaluations() if check.passed}
    assert found == {(name, A) for name in ("complete", "decodable", "coverage", "range", "drift")}


def test_a_run_that_failed_without_a_batch_to_check_is_left_alone(place, instance):
    result = dg.materialize([failing(KEY, [])], instance=instance, tags=ends((A, B)), raise_on_error=False)
    (said,) = asked_for(place, instance, result)
    assert isinstance(said, dg.SkipReason) and result.run_id in str(said.skip_message)
