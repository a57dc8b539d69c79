"""What the sensors read in the run storage: what is in flight, and what was tried before."""

from __future__ import annotations

import json

import dagster as dg

from lance_assets.automation import runs
from lance_assets.automation.runs import in_flight, tried
from lance_assets.automation.world import attempts
from lance_assets.settings import Platform
from lance_assets.tags import AUTOMATION_TAG, MADE_TAG, of_range
from lance_assets_tests.graph.platforms import FAILURE, LABELS, NEW, STARTED


def test_runs_and_backfills_of_anybody_count_as_in_flight(platform, found):
    order, everything = platform.partitions(), ["image_dataset", *LABELS]
    platform.run(LABELS[:1], of_range((order[0], order[1])), NEW)
    platform.run(["image_dataset"], of_range((order[2], order[2])), STARTED)
    platform.run(LABELS[1:], of_range((order[0], order[2])), dg.DagsterRunStatus.SUCCESS)
    platform.run([], {}, STARTED, job="discover_batches")
    flight = in_flight(platform.instance, order, everything)
    assert flight.busy == {"score/sharpness": set(order[:2]), "image_dataset": {order[2]}} and flight.runs == {}
    platform.run([], of_range((order[1], order[1])), STARTED)
    assert in_flight(platform.instance, order, everything).holds("score/words", order[1])


def test_a_backfill_that_is_not_over_counts_as_in_flight(platform, found):
    from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

    order = platform.partitions()
    backfill = PartitionBackfill.from_asset_partitions(
        asset_graph=platform.load().asset_graph,
        backfill_id="backfill",
        tags={},
        backfill_timestamp=1.0,
        asset_selection=[dg.AssetKey(["score", "words"])],
        partition_names=order[:2],
        dynamic_partitions_store=platform.instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    platform.instance.add_backfill(backfill)
    assert in_flight(platform.instance, order, []).busy == {"score/words": set(order[:2])}
    platform.instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))
    assert in_flight(platform.instance, order, []).busy == {}


def test_runs_that_are_over_are_remembered_with_what_they_were_for(platform, found):
    order = platform.partitions()
    tags = {"lance_assets/automation": "relabel", MADE_TAG: json.dumps({"score/words": "1 abc"})}
    platform.run(LABELS[1:], {**tags, **of_range((order[0], order[1]))}, FAILURE)
    platform.run(LABELS[1:], of_range((order[0], order[1])), FAILURE)
    (one,) = tried(platform.instance, order, "relabel")
    assert (one.assets, list(one.batches), one.made) == (LABELS[1:], order[:2], {"score/words": "1 abc"})
    assert one.began <= one.ended


def test_trainings_that_failed_are_counted_however_long_ago_they_were(platform, found, monkeypatch):
    tags = {AUTOMATION_TAG: "tail", MADE_TAG: json.dumps({"qwen_vl_checkpoint": "7 abc"})}
    platform.run(["qwen_vl_checkpoint"], tags, FAILURE)
    monkeypatch.setattr(runs, "LOOK_BACK_S", 0.0)
    assert tried(platform.instance, [], "tail") == []
    said = Platform(platform.home).config().automation
    assert attempts(platform.instance, [], "tail", said, ever=True).count("qwen_vl_checkpoint", None, "7 abc") == 1
