"""raw_captions on a real, ephemeral instance: a range of batches in one run."""

import json

import dagster as dg
import pytest

from lance_assets.assets.raw_captions import raw_captions
from lance_assets.automation.jobs import discover_batches
from lance_assets.partitions import PARTITIONS
from lance_assets.settings import Home, Platform
from lance_assets.store.captions import catalog
from lance_assets.store.files import DataRoot
from lance_assets.tags import of_range


@pytest.fixture
def platform(tmp_path):
    home = Home(tmp_path / "home", tmp_path / "home" / "data")
    home.create()
    source = tmp_path / "shots"
    source.mkdir()
    rows = [{"opensource_url": f"http://example.org/{n}.jpg", "global_caption": f"Row {n}."} for n in range(5)]
    (source / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    home.platform_yaml.write_text(
        json.dumps({"sources": [{"id": "shots", "spec": f"files:{source}"}], "batch_size": 2})
    )
    return Platform(home)


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def discover(platform, instance):
    done = discover_batches.execute_in_process(instance=instance, resources={"platform": platform})
    assert done.success
    return list(instance.get_dynamic_partitions(PARTITIONS))


def test_discovery_registers_the_batches_once(platform, instance):
    keys = discover(platform, instance)
    assert [key.split("-", 2)[2] for key in keys] == ["0-2", "2-4", "4-5"]
    assert discover(platform, instance) == keys


def test_an_empty_instance_is_refilled_from_the_catalog(platform, instance):
    keys = discover(platform, instance)
    materialize(platform, instance, keys)
    with dg.DagsterInstance.ephemeral() as fresh:
        assert set(discover(platform, fresh)) == set(keys)


def materialize(platform, instance, keys):
    tags = of_range((keys[0], keys[-1]))
    return dg.materialize([raw_captions], instance=instance, resources={"platform": platform}, tags=tags)


def test_a_range_of_batches_is_one_run_with_metadata_for_each(platform, instance):
    keys = discover(platform, instance)
    assert materialize(platform, instance, keys).success
    assert catalog(DataRoot(platform.home.data)) == sorted(keys)
    rows = {
        event.asset_materialization.partition: event.asset_materialization.metadata["rows"].value
        for event in (
            record.event_log_entry for record in instance.fetch_materializations(raw_captions.key, 10).records
        )
    }
    assert [rows[key] for key in keys] == [2, 2, 1]


def test_batches_beside_one_that_fails_are_materialized(platform, instance):
    keys = discover(platform, instance)
    lost = "shots-00000000-0-2"
    instance.add_dynamic_partitions(PARTITIONS, [lost])
    tags = of_range((keys[0], lost))
    done = dg.materialize(
        [raw_captions], instance=instance, resources={"platform": platform}, tags=tags, raise_on_error=False
    )
    assert not done.success
    assert instance.get_materialized_partitions(raw_captions.key) == set(keys)
    events = [record.event_log_entry for record in instance.fetch_materializations(raw_captions.key, 10).records]
    rows = {
        event.asset_materialization.partition: event.asset_materialization.metadata["rows"].value for event in events
    }
    assert rows == dict(zip(keys, (2, 2, 1), strict=True))
