"""`lance-assets bench`: that it measures and says so. No figure is asserted: machines differ, and this one is busy."""

import subprocess
import sys

import jsonschema
import numpy as np
import pytest

from lance_assets.cli.bench import schema
from lance_assets_tests.bench import audit, automation, duplicates, fused, ingest, label, screen, train
from lance_assets_tests.bench.ingest_clients import one_turn
from lance_assets_tests.bench.ingest_ours import Ours
from lance_assets_tests.bench.ingest_server import web
from lance_assets_tests.bench.label_cases import Case, Wire
from lance_assets_tests.bench.label_data import SMALL, Images
from lance_assets_tests.bench.label_ours import InProcess, OnRay
from lance_assets_tests.bench.label_plain import Bare, Rewrite
from lance_assets_tests.bench.label_ray import Cluster
from lance_assets_tests.bench.label_scorers import NoOp
from lance_assets_tests.bench.label_turn import Turn
from lance_assets_tests.cli.command import environment, lance_assets

GOALS = {
    "label_seconds_beside_manifest_most_over_fewest_batches",
    "label_bytes_beside_manifest_most_over_fewest_batches",
    "label_seconds_per_row_large_over_small_batch",
    "label_bytes_per_row_large_over_small_batch",
    "label_bytes_per_byte_of_values_and_states",
    "stage_and_commit_seconds_most_over_fewest_fragments",
    "stage_and_commit_cpu_seconds_most_over_fewest_fragments",
    "lookup_seconds_label_batch",
    "lookup_seconds_one_row_per_cell",
    "carry_scorer_calls",
    "carry_next_pass_calls_beyond_changed_rows",
}
ALONE = """
import sys
sys.modules["lance_assets_tests"] = None  # how Python marks a module that cannot be imported
from lance_assets.cli.main import main
sys.exit(main(["bench", "commit"]))
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The quick benchmark, started from a folder that is no checkout."""
    return lance_assets("bench", "commit", "--quick", "--json", TMPDIR=str(tmp_path_factory.mktemp("bench")))


def test_the_last_line_follows_the_schema_and_has_every_goal_that_the_issue_sets(ended):
    assert ended.code == 0, ended.err
    said = ended.json()
    jsonschema.validate(said, schema())
    assert {goal["name"] for goal in said["goals"]} == GOALS
    assert all(goal["met"] == (goal["measured"] <= goal["bound"]) for goal in said["goals"])


def test_carrying_cells_over_calls_no_scorer_and_the_next_pass_scores_what_changed(ended):
    exact = {goal["name"]: goal["measured"] for goal in ended.json()["goals"] if goal["name"].startswith("carry")}
    assert set(exact.values()) == {0}
    calls = {row["what"]: row["calls"] for row in ended.json()["rows"] if row.get("calls") is not None}
    assert calls["label a new batch"] == 4000 and calls["label it again"] == 40


def test_people_see_one_table_with_units_and_the_verdicts(ended):
    [header] = [line for line in ended.out if line.startswith("what ")]
    assert "wall ms" in header and "ledger kB" in header
    assert sum(line.startswith("label_") for line in ended.out) == 5
    assert ended.out[0].startswith("QUICK")
    assert any("labelled a batch" in line for line in ended.err)


def test_an_installation_without_the_benchmarks_says_where_they_are(tmp_path):
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and "run this in a checkout" in done.stderr


def test_ingest_stores_every_good_image_once_and_its_report_follows_the_schema():
    """Without img2dataset, which would be downloaded, and without a cluster."""
    said: list[str] = []
    report = ingest.run(True, said.append, peers=(), ours=(Ours("task"),))
    jsonschema.validate(report.as_json(), schema())
    assert [(goal.name, goal.measured, goal.met) for goal in report.goals] == [("images_lost", 0, True)]
    assert [row["case"] for row in report.rows] == ["300 URLs, no latency", "100 URLs, 100 ms latency"]
    for row in report.rows:
        assert row["lost"] == row["asked_again"] == 0 and row["less_cpu"] is None
        assert isinstance(row["images_per_second"], float) and row["images_per_second"] > 0
    assert len(said) == 2 and any(line.startswith("images_lost") for line in report.lines())


def test_ingest_on_ray_is_measured_without_the_start_of_the_cluster():
    with web() as server:
        turn = one_turn(Ours("ray"), server, 40, 0, 4)
    assert (turn.images, turn.lost, turn.again) == (38, 0, 0)
    assert turn.idle_cpu_s is not None
    assert turn.start.wall_s > turn.whole.wall_s > 0 and turn.start.cpu_s > turn.whole.cpu_s > 0


def test_duplicates_of_new_rows_are_looked_for_in_a_small_and_in_a_large_table():
    report = duplicates.run(True, lambda text: None)
    jsonschema.validate(report.as_json(), schema())
    assert {row["case"] for row in report.rows if row["what"] == "look up and publish"} == {
        "500 new rows in 1,000",
        "500 new rows in 5,000",
    }
    assert [goal.name.rpartition("_most_")[0] for goal in report.goals] == [
        "duplicates_seconds",
        "duplicates_cpu_seconds",
    ]


def test_sensors_ask_for_what_is_stale_in_a_generated_platform():
    report = automation.run(True, lambda text: None)
    jsonschema.validate(report.as_json(), schema())
    asked = {(row["what"], row["case"]): row["requests"] for row in report.rows if "requests" in row}
    assert asked["tick of relabel", "nothing is stale"] == 0
    assert asked["tick of relabel", "every column has a new version"] == 1
    assert asked["tick of tail", "nothing is stale"] == 1 and asked["tick of new_samples_filler", "nothing is new"] == 0


def test_training_is_measured_and_lance_leaves_nothing_behind(monkeypatch):
    """One source; each training starts LLaMA-Factory."""
    every = train._sources
    monkeypatch.setattr(train, "_sources", lambda place, sizes: every(place, sizes)[1:2])
    report = train.run(True, lambda text: None)
    jsonschema.validate(report.as_json(), schema())
    (row,) = report.rows
    assert row["what"] == "Lance, streaming"
    assert [(goal.name, goal.measured) for goal in report.goals] == [("streaming_bytes_exported_or_cached", 0)]
    assert all(figure(row, name) > 0 for name in ("first_step_s", "steps_per_second", "read_bytes", "peak_bytes"))
    assert row["exported_bytes"] == row["cached_bytes"] == 0


def test_every_saved_model_is_asked_what_it_sees():
    pytest.importorskip("crafter", reason="needs the extra demo")
    report = screen.run(True, lambda text: None)
    jsonschema.validate(report.as_json(), schema())
    assert [row["case"] for row in report.rows[:2]] == ["step 1", "step 2"]
    assert all(set(screen.FACTS) <= set(row) for row in report.rows)
    assert [goal.name for goal in report.goals][:2] == ["minutes_of_training", "light_wrong"]


def test_fused_scorers_share_one_decode_and_the_report_follows_the_schema():
    report = fused.run(True, lambda text: None)
    jsonschema.validate(report.as_json(), schema())
    assert [goal.name for goal in report.goals] == [
        "fused_cpu_over_five_separate_passes",
        "fused_wall_over_five_separate_passes",
    ]
    light, heavy = [row for row in report.rows if row["what"] == "one fused pass"]
    assert light["case"] == "five light scorers" and heavy["case"] == "BRISQUE and four light scorers"
    for row in (light, heavy):
        assert isinstance(row["decode_share"], float) and 0 < row["decode_share"] < 1
        assert isinstance(row["cpu_over_separate"], float) and 0.2 < row["cpu_over_separate"] < 1


def test_audit_asks_every_question_and_its_report_follows_the_schema(monkeypatch):
    """But for the commands as processes of their own, which cli/test_audit.py starts."""
    monkeypatch.setattr(audit, "_command", lambda question, made, heavy: (1.0, 1.0))
    report = audit.run(True, lambda text: None)
    jsonschema.validate(report.as_json(), schema())
    kinds = (
        "row",
        "row_why",
        "column",
        "version_that_relabelled_a_batch",
        "version_that_stored_all_rows",
        "checkpoint",
    )
    wanted = [f"audit_{kind}_{what}_seconds" for kind in kinds for what in ("query", "command")]
    assert [goal.name for goal in report.goals] == [*wanted, "audit_heavy_packages_imported"]
    assert report.rows[-1]["what"] == "audit card" and figure(report.rows[-1], "query_s") > 0


def test_label_measures_everybody_and_its_report_follows_the_schema(ray_address):
    """On a cluster that is there; what starts more than that is for the real run."""
    said: list[str] = []
    pair = {InProcess(): 1, Rewrite(): 1}
    here = Case("no-op", Images(200, SMALL, batch=100), 15_000, NoOp.name, {**pair, OnRay(): 1})
    remote = Case("no-op, object store", Images(40, SMALL), 15_000, NoOp.name, pair, Wire())
    report = label.run(True, said.append, [here, remote], Cluster(ray_address))
    jsonschema.validate(report.as_json(), schema())
    assert [goal.name for goal in report.goals] == ["no_op_wall_ours_in_process_over_parquet_rewrite_pyarrow"]
    on_ray = report.rows[2]
    assert [row["what"] for row in report.rows] == [*names(pair), on_ray["what"], *names(pair)]
    for ours, rewrite, images in ((*report.rows[:2], 200), (*report.rows[3:], 40)):
        for row in (ours, rewrite, on_ray):
            assert all(figure(row, name) > 0 for name in ("wall_s", "start_s", "start_cpu_s", "peak_bytes"))
        assert min(figure(row, "read_bytes") for row in (ours, rewrite)) > images * 10_000
        assert figure(rewrite, "written_bytes") > images * 10_000 > figure(ours, "written_bytes") > 0
    assert len(said) == 7


def names(variants) -> list[str]:
    return [variant.name for variant in variants]


def figure(row, name: str) -> float:
    return row[name]


ONE = Turn(1, 1, 1, 1, 1, 1, 1)


def test_a_variant_that_stores_other_scores_is_found_out(monkeypatch):
    monkeypatch.setattr(label, "turn", lambda variant, *_: (ONE, np.array([variant.name == "bare loop"])))
    case = Case("no-op", Images(1, SMALL), 15_000, NoOp.name, {Bare(): 1, Rewrite(): 1})
    with pytest.raises(label.OtherScores, match="Parquet rewrite, pyarrow stored 1 other scores"):
        label.run(True, print, [case])
