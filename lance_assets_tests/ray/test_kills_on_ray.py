"""SIGKILL of a worker, of a Serve replica, of a whole node: the pass completes, and each cell is explained once."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from lance_assets.compute.label_models import label_with_models
from lance_assets.settings import Home
from lance_assets.store.columns import column_of, state_of
from lance_assets.store.makers import explain_column
from lance_assets.store.table import open_images
from lance_assets_tests.ray.observed import Log, Observed, ObservedServed, Watched
from lance_assets_tests.tables import add_batch

ROWS, FRAGMENTS = 48, 4


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path, tmp_path / "data")


def quiet(_: str) -> None:
    """Progress that nobody reads."""


def labelled(root, home, scorer, run="run"):
    return next(iter(label_with_models(root, ["a"], {scorer.name: scorer}, run, quiet, home)))


def complete(root, scorer) -> bool:
    """Every cell has its value, and one ledger row explains it."""
    column = column_of(scorer.name)
    table = open_images(root).to_table(columns=["id", column, state_of(column)]).to_pylist()
    right = all(row[column] == len(row["id"]) and row[state_of(column)] == 0 for row in table)
    said = explain_column(root, column)
    return len(table) == ROWS and right and not said.never and not said.gaps


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
