"""Relabelling, checks and training set in one run, as the UI and the sensors ask for it."""

import json

import dagster as dg
import pytest

from lance_assets.definitions import build
from lance_assets.partitions import PARTITIONS
from lance_assets_tests.numbered import KEY, A, B, Place, ends

SFT = dg.AssetKey("sft_dataset")


@pytest.fixture
def place(tmp_path, ray_address):
    place = Place(tmp_path / "home")
    said = json.loads(place.home.platform_yaml.read_text())
    place.home.platform_yaml.write_text(json.dumps({**said, "ray": {"address": ray_address}}))
    place.label(A, B)
    return place


def test_a_run_whose_labels_move_tells_of_each_batch_and_fails_at_the_training_set_alone(place):
    place.says("2", add=30, below=20)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(PARTITIONS, [A, B])
        job = build(place.platform).resolve_implicit_global_asset_job_def().get_subset(asset_selection={KEY, SFT})
        done = job.execute_in_process(instance=instance, tags=ends((A, B)), raise_on_error=False)
        drift = {one.partition: one.passed for one in done.get_asset_check_evaluations() if one.check_name == "drift"}
        failed = [event.step_key for event in done.filter_events(lambda event: event.is_step_failure)]
        assert drift == {A: False, B: True} and failed == ["sft_dataset"] and not done.success
        assert {event.asset_key for event in done.get_asset_materialization_events()} == {KEY}
