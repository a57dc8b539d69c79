"""The real daemon on a persistent instance: what is new or stale is done by itself, exactly once, whatever dies."""

from __future__ import annotations

import subprocess

import dagster as dg
import psutil
import pytest

from lance_assets.partitions import PARTITIONS
from lance_assets.tags import PARTITION, RANGE_END, RANGE_START
from lance_assets_tests.cli.command import COMMAND, environment
from lance_assets_tests.picture_server import picture_server
from lance_assets_tests.ui.daemon import Automated

RELABEL, SOURCE = "relabel", "new_samples_shots"
NOWHERE = "shots-ffffffff-0-3"


@pytest.fixture(scope="module")
def pictures():
    with picture_server() as server:
        yield server


@pytest.fixture(scope="module")
def platform(tmp_path_factory, pictures, ray_address):
    """A home that was never touched, its daemon running; each test goes on from the one before."""
    platform = Automated(tmp_path_factory.mktemp("automation"), pictures.host, ray_address)
    platform.add("a.jsonl", range(6))
    try:
        platform.start()
        yield platform
    finally:
        platform.end()


def runs_of(platform: Automated, what: str) -> list[dg.DagsterRun]:
    with platform.instance() as instance:
        return list(instance.get_runs(dg.RunsFilter(tags={"lance_assets/automation": what})))


def test_new_rows_are_downloaded_scored_and_selected_without_anybody_asking(platform):
    platform.until(lambda: platform.selected() == 6, "six rows are selected")
    assert set(platform.calls().values()) == {1} and platform.labels("1") == len(platform.calls()) == 6
    platform.until(platform.quiet, "all runs are over")
    assert set(platform.statuses()) == {"SUCCESS"}
    assert {run.tags["lance_assets/relabel_reason"].split(" (")[0] for run in runs_of(platform, RELABEL)} == {
        "never scored"
    }


def test_another_version_relabels_exactly_its_column_once_though_the_daemon_is_killed_in_the_middle(platform):
    before = platform.calls()
    (platform.home.root / "hold").touch()
    platform.edit('version="1"', 'version="2"')
    platform.until(lambda: platform.calls() - before, "the new version is asked for a row")
    platform.kill()  # the run goes on without it
    platform.start()
    platform.until(lambda: _ticks(platform, RELABEL) > 1, "the second daemon looked")
    assert (
        sum(run.tags["lance_assets/relabel_reason"].startswith("scorer version") for run in runs_of(platform, RELABEL))
        == 1
    )
    (platform.home.root / "hold").unlink()
    platform.until(lambda: platform.labels("2") == 6, "six rows have the new label")
    platform.until(platform.quiet, "all runs are over")
    assert set((platform.calls() - before).values()) == {1} and platform.labels("2") == 6
    checked = platform.drift()
    assert len(checked) == 2 and all("from version 1" in said and "to version 2" in said for said in checked.values())
    platform.until(lambda: platform.selected_by() == {"2"}, "the training set is renewed")
    assert platform.selected() == 6


def test_a_machine_that_goes_down_in_a_run_costs_what_was_in_flight(platform):
    (platform.home.root / "hold").touch()
    before = platform.calls()
    platform.edit('version="2"', 'version="3"')
    platform.until(lambda: platform.calls() - before, "the new version is asked for a row")
    platform.end()
    (platform.home.root / "hold").unlink()
    platform.start()
    platform.until(lambda: platform.labels("3") == 6, "six rows have the new label")
    platform.until(platform.quiet, "all runs are over")
    again = platform.calls() - before
    assert set(again.values()) <= {1, 2} and len(again) == 6
    assert platform.statuses()["FAILURE"] == 1


def test_a_fresh_cursor_asks_for_nothing_that_is_there(platform):
    runs, ticks = len(runs_of(platform, SOURCE)), _ticks(platform, SOURCE)
    with platform.instance() as instance:
        for state in instance.all_instigator_state():
            if state.name == SOURCE and state.instigator_data is not None:
                fresh = state.instigator_data._replace(cursor=None)
                instance.update_instigator_state(state.with_data(fresh))
    platform.until(lambda: _ticks(platform, SOURCE) > ticks + 1, "the sensor looked again")
    assert len(runs_of(platform, SOURCE)) == runs


def test_a_command_line_at_the_same_time_scores_nothing_twice(platform):
    before = platform.calls()
    platform.edit('version="3"', 'version="4"')
    command = [COMMAND, "retry", "--column", "letters", "--home", str(platform.home.root)]
    said = environment(LANCE_ASSETS_RAY_ADDRESS=platform.ray)
    done = subprocess.run(command, env=said, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    platform.until(lambda: platform.labels("4") == 6, "six rows have the new label")
    platform.until(platform.quiet, "all runs are over")
    assert set((platform.calls() - before).values()) == {1} and platform.labels("4") == 6


def test_a_run_that_is_killed_while_it_holds_a_slot_blocks_nobody(platform, pictures):
    before = platform.calls()
    platform.add("b.jsonl", range(6, 9), "held/")
    platform.until(lambda: any("/held/" in path for path in pictures.paths), "the pictures are asked for")
    (run,) = [run for run in runs_of(platform, SOURCE) if run.status == dg.DagsterRunStatus.STARTED]
    assert platform.slots("images") == 1
    psutil.Process(platform.pid(run.run_id)).kill()
    pictures.released.set()
    platform.until(lambda: platform.labels("4") == 9, "the rows are stored and labelled by other runs")
    platform.until(platform.quiet, "all runs are over")
    platform.until(lambda: platform.slots("images") == 0, "no slot is taken")
    assert _status(platform, run) == dg.DagsterRunStatus.FAILURE
    again = platform.calls() - before
    assert set(again.values()) == {1} and len(again) == 3


def test_a_batch_without_images_is_asked_of_its_source_alone_and_stops_nobody(platform):
    with platform.instance() as instance:
        instance.add_dynamic_partitions(PARTITIONS, [NOWHERE])
    platform.add("c.jsonl", range(9, 12))
    platform.until(lambda: platform.labels("4") == 12, "the rows of another batch are labelled")
    platform.until(lambda: _failed(platform) >= 2, "the batch was tried")
    asked = {end for run in runs_of(platform, RELABEL) for end in _ends(run)}
    assert asked and NOWHERE not in asked


def _ends(run: dg.DagsterRun) -> list[str]:
    return [run.tags[name] for name in (PARTITION, RANGE_START, RANGE_END) if name in run.tags]


def _status(platform: Automated, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    with platform.instance() as instance:
        found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def _failed(platform: Automated) -> int:
    return sum(run.status == dg.DagsterRunStatus.FAILURE for run in runs_of(platform, SOURCE))


def _ticks(platform: Automated, sensor: str) -> int:
    """Finished ticks since the daemon started last."""
    with platform.instance() as instance:
        for state in instance.all_instigator_state():
            if state.name == sensor:
                ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, after=platform.started)
                return sum(tick.is_completed for tick in ticks)
    return 0
