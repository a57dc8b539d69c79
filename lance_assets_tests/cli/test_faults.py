"""Runs that are killed and batches that fail: nothing is lost, nothing is done twice, and the rest goes on.

The tests share one home and go through one bad day, in order: a run is killed while it downloads; the file that it was
at is gone for the next run; the file comes back, and that run is killed while it scores; the last one ends.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from lance_assets.ingest.landing import progress
from lance_assets.partitions import Batch
from lance_assets.store.files import DataRoot
from lance_assets.store.table import open_images
from lance_assets_tests.cli.command import RECIPE, Ended, kill_when, lance_assets, start
from lance_assets_tests.cli.folders import image_files, row, untouched, write_jsonl
from lance_assets_tests.picture_server import Server, picture_server

FIRST, SECOND = range(12), range(12, 20)


@dataclass
class Day:
    """What every step of the story needs, and what the server was asked for by the end of each."""

    server: Server
    flags: list
    home: Path
    source: Path
    ray: str
    paths: dict[str, list[str]] = field(default_factory=dict)
    second_run: Ended | None = None

    def run(self, name):
        done = lance_assets(*self.flags, LANCE_ASSETS_RAY_ADDRESS=self.ray)
        self.paths[name] = list(self.server.paths)
        return done

    def killed(self, name, log, condition):
        kill_when(start(log, *self.flags, LANCE_ASSETS_RAY_ADDRESS=self.ray), log, condition)
        self.paths[name] = list(self.server.paths)

    def ids(self):
        return open_images(DataRoot(self.home / "data")).to_table(columns=["id"])["id"].to_pylist()


@pytest.fixture(scope="module")
def day(tmp_path_factory, ray_address):
    folder = tmp_path_factory.mktemp("day")
    with picture_server() as server:
        source, home = folder / "shots", folder / "home"
        write_jsonl(source / "a.jsonl", [row(server.url(n), n) for n in FIRST])
        write_jsonl(source / "b.jsonl", [row(server.url(n, "held" if n == 12 else ""), n) for n in SECOND])
        home.mkdir()
        scorers = [{"name": "sharpness"}, {"name": "caption_quality"}]
        (home / "platform.yaml").write_text(yaml.safe_dump({"scorers": scorers, "allow_hosts": [server.host]}))
        flags = ["run", "--source", f"files:{source}", "--home", home, "--recipe", RECIPE, "--json"]
        yield Day(server, flags, home, source, ray_address)


@pytest.fixture(scope="module")
def killed_downloading(day, tmp_path_factory):
    """kill -9 while the server still holds back a picture of the second batch; the first batch is stored by then."""

    def waits():
        if "/held/12.jpg" not in day.server.paths:
            return False
        if sum(progress(folder).done for folder in day.home.glob("**/landing/*")) < len(SECOND) - 1:
            return False
        day.second_run = lance_assets(*day.flags)
        return True

    day.killed("killed", tmp_path_factory.mktemp("log") / "log", waits)
    return image_files(day.home)


@pytest.fixture(scope="module")
def broken(day, killed_downloading):
    """The second batch's file is gone."""
    (day.source / "b.jsonl").rename(day.source.parent / "b.jsonl")
    return day.run("broken")


@pytest.fixture(scope="module")
def killed_scoring(day, broken, tmp_path_factory):
    """The file is back; kill -9 when one of two columns is scored. Only now is the picture given out: right after the
    first kill a worker of Ray's may live long enough to take it."""
    day.server.released.set()
    (day.source.parent / "b.jsonl").rename(day.source / "b.jsonl")
    log = tmp_path_factory.mktemp("log") / "log"
    day.killed("scoring", log, lambda: "sharpness scored 8 rows" in log.read_text())
    return image_files(day.home)


@pytest.fixture(scope="module")
def repaired(day, killed_scoring):
    return day.run("repaired")


def test_a_second_run_on_the_same_home_is_refused(day, killed_downloading):
    assert day.second_run.code == 2 and day.second_run.out == []
    assert day.second_run.err == [
        f"lance-assets: another run is working on {day.home}; wait for it or use another --home"
    ]


def test_the_dead_run_is_marked_as_failed(day, broken):
    (told,) = [line for line in broken.err if "was dead: marked as failed" in line]
    runs = lance_assets("status", "--home", day.home, "--json").json()["last_failures"]
    steps = {failure["run_id"]: failure["steps"] for failure in runs}
    (dead,) = [run for run in steps if run in told]
    assert steps[dead] == [f"run {dead}: the process of this run died"]


def test_a_failing_batch_is_named_and_the_exit_code_is_1(day, broken):
    summary = broken.json()
    lost = next(key for key in summary["this_run"]["batches"] if Batch.parse(key).rows == len(SECOND))
    assert broken.code == 1
    assert summary["failed"] == [
        f"raw_captions: 1 failed, the others are done: {lost}: source shots has no file whose sha256 starts with "
        f"{Batch.parse(lost).file} any more (batch {lost})"
    ]
    assert broken.err[-1] == f"FAILED    {summary['failed'][0]}"


def test_the_other_batch_is_stored_scored_and_trained_on(broken):
    summary = broken.json()
    assert summary["rows"] == {"asked": 20, "stored": 12, "rejected": {}}
    assert {name: score["ok"] for name, score in summary["scores"].items()} == {"sharpness": 12, "caption_quality": 12}
    assert summary["sft"]["rows"] == 12
    assert summary["evaluation"]["rows"] == summary["sft"]["test"]


def test_what_the_killed_run_had_stored_is_not_downloaded_again(day, killed_downloading, broken):
    assert day.paths["broken"] == day.paths["killed"]
    assert broken.json()["this_run"]["downloaded"] == 0
    assert untouched(killed_downloading, image_files(day.home))


def test_after_the_repair_everything_is_there_once(day, repaired):
    summary = repaired.json()
    assert repaired.code == 0 and summary["failed"] == []
    assert summary["rows"] == {"asked": 20, "stored": 20, "rejected": {}}
    assert len(set(day.ids())) == len(day.ids()) == 20
    assert {name: score["ok"] for name, score in summary["scores"].items()} == {"sharpness": 20, "caption_quality": 20}
    assert summary["sft"]["rows"] == 20
    asked = Counter(day.server.paths)
    assert all(asked[f"/{n}.jpg"] == 1 for n in [*FIRST, *SECOND] if n != 12), "what had landed is not fetched again"
    assert asked["/held/12.jpg"] == 2, "in flight when it was killed"


def test_a_run_killed_while_scoring_keeps_its_images_and_finished_labels(day, killed_scoring, repaired):
    calls = repaired.json()["this_run"]["scorer_calls"]
    assert calls["sharpness"] == 0 and calls["caption_quality"] in (0, 8)
    assert day.paths["repaired"] == day.paths["scoring"]
    assert untouched(killed_scoring, image_files(day.home))
