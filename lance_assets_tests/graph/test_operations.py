"""Jobs, alerts, instance settings and health, on a real ephemeral instance: no daemon, which would only do what these
ask for."""

import json
import os
import subprocess
import sys
import time
from importlib import resources

import dagster as dg
import psutil
import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._daemon.types import DaemonHeartbeat

from lance_assets.automation.alerts import alert_on_failure
from lance_assets.automation.dead_runs import PID_TAG, free_dead_runs, process_tag, reap
from lance_assets.automation.failed_steps import failures
from lance_assets.automation.webhook import VARIABLE
from lance_assets.cli.health import backfills, daemon, health_words, instigators
from lance_assets.cli.work import known_batches, pending
from lance_assets.definitions import build
from lance_assets.partitions import PARTITIONS
from lance_assets.settings import Home, Platform
from lance_assets.store.files import DataRoot
from lance_assets.store.table import open_images
from lance_assets_tests.graph.platforms import after_failure
from lance_assets_tests.tables import add_batch
from lance_assets_tests.webhook import webhook


@pytest.fixture
def platform(tmp_path):
    """Two sources of which one cannot be read; one of its two batches is stored."""
    home = Home(tmp_path / "home", tmp_path / "home" / "data")
    home.create()
    (tmp_path / "shots").mkdir()
    rows = [{"opensource_url": f"http://example.org/{n}.jpg", "global_caption": f"Row {n}."} for n in range(4)]
    (tmp_path / "shots" / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sources = [{"id": "shots", "spec": f"files:{tmp_path}/shots"}]
    home.platform_yaml.write_text(json.dumps({"sources": sources, "batch_size": 2, "scorers": [{"name": "sharpness"}]}))
    return Platform(home)


@pytest.fixture
def hook():
    with webhook() as server:
        yield server


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def run(platform, instance, job, config=None, raise_on_error=True):
    return (
        build(platform)
        .resolve_job_def(job)
        .execute_in_process(instance=instance, run_config=config or {}, raise_on_error=raise_on_error)
    )


def asked(instance):
    """Assets and batches of each backfill."""
    return [
        (
            sorted(key.to_user_string() for key in one.asset_selection),
            sorted(
                one.asset_backfill_data.target_subset.get_partitions_subset(one.asset_selection[0]).get_partition_keys()
            ),
        )
        for one in instance.get_backfills()
    ]


def test_seed_registers_what_the_sources_have_and_asks_for_what_has_no_row(platform, instance):
    assert run(platform, instance, "seed").success
    first, second = instance.get_dynamic_partitions(PARTITIONS)
    assert asked(instance) == [(["image_dataset", "raw_captions"], [first, second])]
    add_batch(DataRoot(platform.home.data), first, 2)
    assert run(platform, instance, "seed").success
    assert asked(instance)[0] == (["image_dataset", "raw_captions"], [second])
    add_batch(DataRoot(platform.home.data), second, 2)
    assert run(platform, instance, "seed").success and len(asked(instance)) == 2
    assert [one["status"] for one in backfills(instance)] == ["requested"] * 2


def test_a_partition_that_somebody_made_by_hand_stops_neither_seed_nor_discovery_nor_status(platform, instance):
    instance.add_dynamic_partitions(PARTITIONS, ["tomorrow"])
    assert run(platform, instance, "discover_batches").success and run(platform, instance, "seed").success
    _, first, second = instance.get_dynamic_partitions(PARTITIONS)
    assert asked(instance) == [(["image_dataset", "raw_captions"], [first, second])]
    assert pending(platform, known_batches(platform, instance)).batches == [first, second]


def test_seed_fills_the_other_sources_where_one_cannot_be_read(platform, instance, tmp_path):
    config = json.loads(platform.home.platform_yaml.read_text())
    config["sources"].append({"id": "gone", "spec": f"files:{tmp_path}/nowhere"})
    platform.home.platform_yaml.write_text(json.dumps(config))
    done = run(platform, instance, "seed", raise_on_error=False)
    assert not done.success and len(asked(instance)) == 1
    assert "nowhere" in failures(instance, done.run_id)[0]


def test_relabelling_a_column_asks_for_batches_with_images_only_and_can_be_forced(platform, instance):
    run(platform, instance, "discover_batches")
    first, _ = instance.get_dynamic_partitions(PARTITIONS)
    column = {"ops": {"relabel_stored_batches": {"config": {"column": "score_sharpness", "force": True}}}}
    assert run(platform, instance, "relabel_column", column).success and asked(instance) == []
    add_batch(DataRoot(platform.home.data), first, 2)
    assert run(platform, instance, "relabel_column", column).success
    assert asked(instance) == [(["score/sharpness"], [first])]
    assert instance.get_backfills()[0].tags["lance_assets/force"] == "true"
    column["ops"]["relabel_stored_batches"]["config"]["column"] = "nope"
    done = run(platform, instance, "relabel_column", column, raise_on_error=False)
    assert "there is no score column 'nope'" in failures(instance, done.run_id)[0]


def test_maintenance_compacts_cleans_and_verifies_and_fails_on_damage(platform, instance):
    root = DataRoot(platform.home.data)
    assert run(platform, instance, "maintenance").success  # nothing is stored yet
    add_batch(root, "shots-0123abcd-0-4", 4, fragments=2)
    config = {"ops": {"clean_up_versions": {"config": {"days": 0}}}}
    assert run(platform, instance, "maintenance", config).success
    assert len(open_images(root).get_fragments()) == 1 and len(open_images(root).version_refs()) == 1
    [file] = open_images(root).get_fragments()[0].data_files()
    (root.folder / "images.lance/data" / str(file.path)).write_bytes(b"rubbish")
    done = run(platform, instance, "maintenance", raise_on_error=False)
    assert not done.success and "shots-0123abcd-0-4" in failures(instance, done.run_id)[0]


@dg.op
def breaks():
    raise ValueError("the disk\nis full")


@dg.job(executor_def=dg.in_process_executor)
def broken():
    breaks()


def alert(instance, result):
    return alert_on_failure(after_failure("alert_on_failure", instance, result))


def test_a_failed_run_is_posted_with_its_step_and_a_broken_webhook_fails_nothing(instance, hook, monkeypatch):
    result = broken.execute_in_process(instance=instance, raise_on_error=False)
    monkeypatch.setenv(VARIABLE, hook.url)
    alert(instance, result)
    [body] = hook.bodies
    assert (body["run_id"], body["job"], body["step"]) == (result.run_id, "broken", "breaks")
    assert body["error"].endswith("the disk") and body["link"].endswith(result.run_id)
    hook.status = 500
    alert(instance, result)
    monkeypatch.setenv(VARIABLE, "http://example.org/x")
    alert(instance, result)
    assert len(hook.bodies) == 2
    monkeypatch.delenv(VARIABLE)
    alert(instance, result)
    assert len(hook.bodies) == 2


def test_a_run_whose_process_died_is_failed_and_others_are_left_alone(instance):
    job = dg.GraphDefinition(name="empty").to_job()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    mine = process_tag()
    here, started, host = mine.split("-", 2)
    stepped = f"{here}-{int(started) - 2}-{host}"  # the clock was set since
    tags = [mine, f"{gone.pid}-{started}-{host}", f"{here}-1-{host}", f"{gone.pid}-{started}-elsewhere", stepped]
    runs = [
        instance.create_run_for_job(job, tags={PID_TAG: tag}, status=dg.DagsterRunStatus.STARTED).run_id for tag in tags
    ]
    said = free_dead_runs(dg.build_sensor_context(instance=instance))
    statuses = [instance.get_run_by_id(run).status for run in runs]
    assert statuses == [dg.DagsterRunStatus[one] for one in ("STARTED", "FAILURE", "FAILURE", "STARTED", "STARTED")]
    assert runs[1] in str(said) and runs[3] not in str(said)


def test_a_run_whose_process_is_a_zombie_is_failed(instance):
    job = dg.GraphDefinition(name="empty").to_job()
    zombie = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = psutil.Process(zombie.pid)
    host = process_tag().split("-", 2)[2]
    tag = f"{zombie.pid}-{int(process.create_time())}-{host}"
    run = instance.create_run_for_job(job, tags={PID_TAG: tag}, status=dg.DagsterRunStatus.STARTED).run_id
    assert reap(instance) == []
    assert zombie.stdin is not None
    zombie.stdin.close()
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert reap(instance) == [run]
    finally:
        zombie.wait()


def test_the_daemon_counts_as_alive_as_long_as_it_says_so(instance):
    assert daemon(instance) == {"alive": False, "seen": None, "silent": [], "errors": {}}
    now = time.time()
    for kind, age in (("SENSOR", 10), ("SCHEDULER", 500)):
        instance.add_daemon_heartbeat(DaemonHeartbeat(now - age, kind, "id", []))
    found = daemon(instance, now)
    assert (found["alive"], found["silent"]) == (True, ["SCHEDULER"])
    assert daemon(instance, now + 100)["alive"] is False
    said = health_words({"daemon": daemon(instance, now + 100), "automation": []})
    assert said[0].startswith("daemon    NOT running, last seen 20")


def test_a_home_gets_instance_settings_that_dagster_takes_an_alert_and_no_maintenance_of_its_own(platform, tmp_path):
    text = resources.files("lance_assets.deploy").joinpath("dagster.yaml").read_text()
    (tmp_path / "dagster.yaml").write_text(text)
    dagster_instance_config(str(tmp_path))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.telemetry_enabled is False and instance.nux_enabled is False
        assert instance.get_sensor_settings()["use_threads"] and instance.get_sensor_settings()["num_workers"] == 4
        assert instance.run_monitoring_enabled and instance.run_retries_enabled
        assert instance.run_retries_max_retries == 0 and not instance.run_retries_retry_on_asset_or_op_failure
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
        found = {one["name"]: one["on"] for one in instigators(instance, build(platform))}
        assert found["nightly_maintenance"] is False and found["alert_on_failure"] is True
    assert yaml.safe_load(text)["concurrency"]["runs"]["max_concurrent_runs"] == 2


def test_training_and_downloads_wait_in_pools(platform):
    assets = build(platform).resolve_asset_graph().assets_defs
    pools = {key.to_user_string(): one.op.pool for one in assets for key in one.keys}
    assert pools["qwen_vl_checkpoint"] == pools["evaluation"] == "gpu" and pools["image_dataset"] == "images"
