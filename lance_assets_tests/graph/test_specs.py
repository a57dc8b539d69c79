"""The graph as reviewed: no asset, edge, group or code version changes unnoticed."""

import json
import os
from pathlib import Path

import dagster as dg
import pytest

from lance_assets.definitions import build
from lance_assets.settings import Home, Platform

SNAPSHOT = Path(__file__).parent / "specs.json"


def described(spec: dg.AssetSpec, checks: list[str]) -> dict[str, object]:
    return {
        "checks": checks,
        "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
        "group": spec.group_name,
        "code_version": spec.code_version,
        "kinds": sorted(spec.kinds),
        "partitions": spec.partitions_def.name
        if isinstance(spec.partitions_def, dg.DynamicPartitionsDefinition)
        else None,
        "condition": spec.automation_condition.get_label() if spec.automation_condition else None,
    }


@pytest.fixture
def definitions(tmp_path):
    return build(Platform(Home(tmp_path, tmp_path / "data")))


def test_the_graph_is_the_one_in_the_snapshot(definitions):
    checks = definitions.resolve_asset_graph().asset_check_keys
    found = {
        spec.key.to_user_string(): described(spec, sorted(key.name for key in checks if key.asset_key == spec.key))
        for spec in definitions.resolve_all_asset_specs()
    }
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    expected = json.loads(SNAPSHOT.read_text())
    assert found == expected, "review the change, then run the test once with UPDATE_SNAPSHOTS=1"


def test_the_definitions_load_in_dagster_and_every_asset_is_described(definitions):
    dg.Definitions.validate_loadable(definitions)
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description and spec.code_version, f"{spec.key} lacks a description or a code version"


def test_each_source_has_a_sensor_and_all_run_unless_somebody_stops_them(tmp_path):
    home = Home(tmp_path, tmp_path / "data")
    home.platform_yaml.write_text("sources: [{id: one, spec: 'files:a'}, {id: two, spec: 'files:b'}]\n")
    made = {sensor.name: sensor for sensor in build(Platform(home)).get_repository_def().sensor_defs}
    for name in ("relabel", "tail", "new_samples_one", "new_samples_two"):
        assert made[name].default_status == dg.DefaultSensorStatus.RUNNING and made[name].description


def test_a_scorer_left_out_of_platform_yaml_is_left_out_of_the_graph(tmp_path):
    home = Home(tmp_path, tmp_path / "data")
    home.platform_yaml.write_text("scorers: [{name: sharpness}]\n")
    keys = {spec.key.to_user_string() for spec in build(Platform(home)).resolve_all_asset_specs()}
    assert "score/sharpness" in keys and not keys & {"score/exposure", "score/alignment", "alignment_model"}
