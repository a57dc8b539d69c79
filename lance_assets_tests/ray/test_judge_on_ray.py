"""The judge behind Ray Serve: one process asks, budgets go to the most valuable rows, a killed one pays for nothing
twice."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from lance_assets.compute.label_models import label_with_models
from lance_assets.scoring.api import Item
from lance_assets.scoring.functions import scorer
from lance_assets.scoring.judge import Judge, JudgeConfig
from lance_assets.settings import Home
from lance_assets.store.table import open_images
from lance_assets_tests.conftest import JUDGE_KEY
from lance_assets_tests.fault_server import until
from lance_assets_tests.judge_server import judge_server
from lance_assets_tests.ray.labelled import quiet
from lance_assets_tests.tables import add_batch

pytestmark = pytest.mark.usefixtures("joined")
ROWS = 30


@scorer(version="1", fields=["messages"], name="value")
def value(item: Item) -> float:
    """The number of the row, in an order of its own."""
    return float(int(item.id.partition("/")[2]) * 7 % ROWS)


class Court:
    """A home with two batches, and a judge that asks a stub."""

    def __init__(self, folder, root):
        self.home, self.root = Home(folder, folder / "data"), root
        add_batch(root, "a", ROWS // 2, fragments=3)
        add_batch(root, "b", ROWS // 2, first=ROWS // 2, fragments=2)

    def labelled(self, *scorers):
        chosen = {one.name: one for one in scorers}
        return list(label_with_models(self.root, ["a", "b"], chosen, "run", quiet, self.home))

    def judge(self, url, **config):
        said = {"model": "stub-vl", "base_url": url, "ramp_s": 0, "canary_share": 0, "key_variable": JUDGE_KEY}
        return Judge(JudgeConfig(**{**said, **config}))

    def judged(self):
        found = open_images(self.root).to_table(columns=["id"], filter="score_judge__state = 0")
        return sorted(int(id.partition("/")[2]) for id in found["id"].to_pylist())


@pytest.fixture
def court(tmp_path, root):
    return Court(tmp_path, root)


def test_a_budget_goes_to_the_most_valuable_rows_of_all_batches_and_the_others_stay_unscored(court):
    with judge_server() as endpoint:
        court.labelled(value())
        small = court.judge(endpoint.url, first="score_value", budget={"rows": 9})
        done = court.labelled(small)
        assert [one.failure for one in done] == [None, None] and sum(one.calls for one in done) == 9
        best = sorted(range(ROWS), key=lambda row: -(row * 7 % ROWS))[:9]
        assert court.judged() == sorted(best) and len(endpoint.log) == 9
        assert open_images(court.root).count_rows("score_judge__state IS NULL") == ROWS - 9
        assert [one.calls for one in court.labelled(small)] == [0, 0] and len(endpoint.log) == 9
        larger = court.judge(endpoint.url, first="score_value", budget={"rows": ROWS})
        assert sum(one.calls for one in court.labelled(larger)) == ROWS - 9
        assert court.judged() == list(range(ROWS)) and len(endpoint.log) == ROWS


def test_a_killed_replica_pays_again_for_what_it_had_in_flight_at_most(court):
    with judge_server(latency_s=0.3) as endpoint, ThreadPoolExecutor(1) as pool:
        judge = court.judge(endpoint.url, concurrency=2)
        pending = pool.submit(court.labelled, judge)
        until(lambda: len(endpoint.log) > 8, 120)
        [journal] = court.home.models.glob("judge/*/journal.jsonl")
        os.kill(holder(journal), signal.SIGKILL)
        done = pending.result(240)
    assert [one.failure for one in done] == [None, None] and court.judged() == list(range(ROWS))
    assert len(endpoint.log) <= ROWS + 2


def holder(path):
    """The process that has a file open."""
    import psutil

    for process in psutil.process_iter():
        try:
            if any(one.path == str(path) for one in process.open_files()):
                return process.pid
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    raise AssertionError(f"nobody has {path} open")
