"""`bench label`: everybody stores the same scores, what they used is counted, and the goals say what they compare."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pyarrow.parquet as pq
import pytest

from lance_assets.compute.fragment import rows_of
from lance_assets.scoring.passes import score_items
from lance_assets_tests.bench.label_cases import FULL, QUICK
from lance_assets_tests.bench.label_count import Count, Used, Watch, count
from lance_assets_tests.bench.label_data import SMALL, Images, build, linked
from lance_assets_tests.bench.label_goals import goals
from lance_assets_tests.bench.label_ours import InProcess
from lance_assets_tests.bench.label_plain import Bare, Limit, Rewrite, Sidecar, parquet_files
from lance_assets_tests.bench.label_scorers import FUNCTIONS, SCORERS
from lance_assets_tests.bench.label_task import Task
from lance_assets_tests.bench.label_throttle import carried, throttled
from lance_assets_tests.bench.label_turn import Turn

IMAGES = Images(24, SMALL, batch=10)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench") / "data"
    build(IMAGES, folder)
    return folder


@pytest.fixture
def task(data, tmp_path):
    for name in ("platform", "guide.lance"):
        linked(data / name, tmp_path / name)

    def made(scorer: str) -> Task:
        return Task(scorer, f"try_{scorer}", IMAGES.batches(), 8, str(data), str(tmp_path), "", str(tmp_path))

    return made


@pytest.mark.parametrize("scorer", SCORERS)
def test_everybody_stores_the_same_scores(task, scorer):
    found = {}
    for variant in (Bare(), InProcess(), Rewrite(), Sidecar()):
        variant.start(task(scorer))
        variant.act(task(scorer))
        found[variant.name] = variant.scores(task(scorer))
        variant.stop(task(scorer))
    first, *others = found.values()
    assert len(first) == IMAGES.count and len(set(first.tolist())) > 1
    assert all(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize("scorer", SCORERS)
def test_a_scorer_gives_what_the_function_of_its_name_gives(data, scorer):
    store, files = parquet_files(f"{data}/parquet")
    rows = pq.read_table(files, filesystem=store).combine_chunks()
    scored = score_items({scorer: SCORERS[scorer]()}, rows_of(rows))[scorer]
    assert scored.values.to_pylist() == FUNCTIONS[scorer](rows["image"].chunk(0)).tolist()
    assert not scored.states.any()


def test_a_rewrite_keeps_every_column_and_its_files_are_taken_away_again(task, data):
    one = task("noop")
    Rewrite().act(one)
    store, files = parquet_files(one.target)
    new, old = (pq.read_table(some, filesystem=store) for some in (files, parquet_files(f"{data}/parquet")[1]))
    assert new.drop_columns(["score"]).equals(old)
    Rewrite().stop(one)
    assert not Path(one.target).exists()


def test_the_limit_writes_four_bytes_for_each_image(task):
    one = task("noop")
    Limit().act(one)
    assert (Path(one.work) / "scores").stat().st_size == 4 * IMAGES.count


def test_linked_copies_leave_the_source_as_it_was(task, data):
    before = sorted(path.relative_to(data) for path in data.rglob("*"))
    Bare().act(task("noop"))
    assert sorted(path.relative_to(data) for path in data.rglob("*")) == before


def test_a_process_that_ended_counts_with_what_it_had_used_when_it_was_seen_last():
    watch = Watch([])
    watch.last = {1: (0.5, Used(9.0, 9, 9)), 2: (2.0, Used(5.0, 50, 500)), 3: (2.0, Used(1.0, 1, 1))}
    began = Count(1.0, {2: Used(2.0, 20, 200), 4: Used(1.0, 10, 100)})
    ended = Count(3.0, {4: Used(1.5, 12, 103), 3: Used(2.0, 2, 2)})
    assert watch.between(began, ended) == Used(3.0 + 0.5 + 2.0, 30 + 2 + 2, 300 + 3 + 2)


def test_children_are_counted_with_their_files(tmp_path):
    script = f"import pathlib, time; pathlib.Path({str(tmp_path / 'file')!r}).write_bytes(bytes(10**6)); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script]) as child:
        while not (tmp_path / "file").exists() or (tmp_path / "file").stat().st_size < 10**6:
            time.sleep(0.05)
        seen = count([os.getpid()])
        child.kill()
    assert seen.used[child.pid].written_bytes >= 10**6
    assert seen.used[child.pid].cpu_s > 0 and seen.bytes > 10**7


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "200000")
        self.end_headers()
        self.wfile.write(bytes(200_000))

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def test_the_object_store_answers_late_and_slowly_and_its_bytes_are_counted():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        with throttled(f"127.0.0.1:{server.server_port}", 0.1, 1e6) as slow:
            started = time.monotonic()
            with urllib.request.urlopen(f"http://{slow.host}/", timeout=30) as answer:
                assert len(answer.read()) == 200_000
            assert time.monotonic() - started >= 0.2  # 200 kB at 1 MB/s, and the first byte after 0.1 s
            received, sent = carried(slow.counts)
            assert 200_000 < received < 201_000 and 0 < sent < 1000
    finally:
        server.shutdown()


def turn(**figures: float) -> Turn:
    return Turn(**{**dict.fromkeys(Turn.__dataclass_fields__, 1), **figures})


def test_goals_compare_like_with_like_and_those_without_figures_are_left_out():
    costs = {
        "no-op": {
            "ours, in process": turn(wall_s=1, peak_bytes=300),
            "Parquet rewrite, pyarrow": turn(wall_s=6),
            "ours, on Ray": turn(wall_s=2),
            "Parquet rewrite, Ray Data": turn(wall_s=15),
        },
        "thumbnail": {"ours, in process": turn(cpu_s=3, peak_bytes=150), "bare loop": turn(cpu_s=2.5)},
    }
    found = {goal.name: (goal.measured, goal.met) for goal in goals(costs)}
    assert found == {
        "no_op_wall_ours_in_process_over_parquet_rewrite_pyarrow": (1 / 6, True),
        "no_op_wall_ours_on_ray_over_parquet_rewrite_ray_data": (2 / 15, False),
        "thumbnail_cpu_ours_in_process_over_bare_loop": (1.2, True),
        "peak_memory_in_process_of_many_over_few_rows": (2, False),
    }


@pytest.mark.parametrize("chosen", [FULL, QUICK])
def test_each_run_has_every_figure_that_the_issue_asks_for(chosen):
    asked = {
        *("physical limit", "bare loop", "ours, in process", "ours, on Ray", "ours, through Dagster"),
        *("Parquet rewrite, pyarrow", "Parquet rewrite, Ray Data", "Parquet sidecar, pyarrow"),
        "guide: add_columns + Serve",
    }
    by_case = {case.name: {variant.name: turn() for variant in case.variants} for case in chosen}
    assert set(by_case["no-op"]) == asked
    assert {"bare loop", "ours, in process"} <= set.intersection(*map(set, by_case.values()))
    assert len(goals(by_case)) == 7
    assert {case.scorer for case in chosen} == {*SCORERS} and [case.name for case in chosen if case.wire]


def test_a_task_travels_as_json(task):
    one = task("full")
    again = Task(**json.loads(one.as_json()))
    assert again == one or again.batches == list(one.batches)
