"""What sensors have in common, on a real instance and a real table; the daemon itself is in ui/test_automation.py."""

from __future__ import annotations

import dagster as dg
import pytest

from lance_assets.assets.common import due_at
from lance_assets.tags import AUTOMATION_TAG
from lance_assets_tests.graph.platforms import LABELS, SOURCE
from lance_assets_tests.tables import add_batch


def test_platform_yaml_switches_sensors_off_without_a_reload(platform):
    platform.add("a.jsonl", 5)
    platform.say(automation={"new_samples": False, "relabel": False, "training_set": False})
    assert "automation.new_samples is off" in platform.tick(SOURCE).says
    assert "automation.relabel is off" in platform.tick("relabel").says
    assert "automation.training_set is off" in platform.tick("tail").says


def test_a_partition_that_is_no_batch_key_stops_no_sensor(platform, found):
    platform.instance.add_dynamic_partitions("batches", ["tomorrow"])
    add_batch(platform.root, found.registered[0], 2)
    assert [ends for _, ends in platform.tick(SOURCE).runs] == [tuple(found.registered[1:])]
    assert platform.tick("relabel").runs == [(LABELS, (found.registered[0],) * 2)]
    assert "is stale in 1 batches" in platform.tick("tail").says


def test_a_scorer_that_the_code_location_does_not_have_yet_stops_nobody(platform, found):
    add_batch(platform.root, platform.partitions()[0], 2)
    loaded, asked = platform.load(), platform.tick("relabel").runs
    platform.say(scorers=[*platform.said["scorers"], {"name": "exposure"}])
    assert platform.tick("relabel", loaded=loaded).runs == asked
    assert "platform.yaml names exposure by now: reload" in platform.tick("tail", loaded=loaded).says


def test_nothing_is_asked_for_before_there_are_images(platform, found):
    assert platform.tick("relabel").says == platform.tick("tail").says == "no image is stored yet"


@pytest.mark.parametrize(("tags", "waits"), [({AUTOMATION_TAG: "relabel"}, True), ({}, False)])
def test_a_run_of_a_sensor_leaves_what_backs_off_alone_and_one_of_a_person_does_not(platform, tags, waits):
    @dg.asset
    def looks(context):
        return dg.MaterializeResult(metadata={"waits": due_at(context) is not None})

    done = dg.materialize([looks], instance=platform.instance, tags=tags)
    assert done.asset_materializations_for_node("looks")[0].metadata["waits"].value is waits
