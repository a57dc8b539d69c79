"""SIGKILL of a worker, of a Serve replica, of a whole node: the pass completes, and each cell is explained once."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from lance_assets.settings import Home
from lance_assets.store.table import open_images
from lance_assets_tests.ray.labelled import FRAGMENTS, ROWS, complete, labelled
from lance_assets_tests.ray.observed import Log, Observed, ObservedServed, Watched
from lance_assets_tests.tables import add_batch


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path, tmp_path / "data")


def killed_meanwhile(root, home, scorer, log):
    """Labels; the process of the first call is killed while it waits. Returns the result."""
    with ThreadPoolExecutor(1) as pool:
        with log.held():
            pending = pool.submit(labelled, root, home, scorer)
            os.kill(log.asked_pid(), signal.SIGKILL)
        return pending.result(240)


@pytest.mark.usefixtures("joined")
@pytest.mark.parametrize("kind", [Observed, ObservedServed], ids=["a worker", "a Serve replica"])
def test_a_killed_process_costs_what_it_had_in_flight_and_nothing_else(root, home, log, kind):
    add_batch(root, "a", ROWS, fragments=FRAGMENTS)
    scorer = kind(Watched(log=str(log.file), hold=str(log.hold)))
    done = killed_meanwhile(root, home, scorer, log)
    assert done.failure is None and done.calls == ROWS
    assert complete(root, scorer)
    assert set(log.rows("scored").values()) == {1}, "only what the killed process had not scored is asked again"
    assert labelled(root, home, scorer, "again").calls == 0


@pytest.mark.usefixtures("joined")
def test_a_row_that_ends_the_process_fails_alone(root, home, log):
    add_batch(root, "a", ROWS, fragments=FRAGMENTS)
    scorer = Observed(Watched(log=str(log.file), poison=("a/17",)))
    done = labelled(root, home, scorer)
    assert done.failure is None
    assert done.states == {"ok": ROWS - 1, "failed_transient": 0, "failed_permanent": 1, "refused": 0}
    bad = open_images(root).to_table(columns=["id"], filter="score_observed__state = 2")["id"].to_pylist()
    assert bad == ["a/17"] and "the process that scored it ended" in (done.message or "")
