"""Downloads and labels over a real Ray: exactly the stale cells, no row lost, nothing written twice."""

import json

import pytest

from lance_assets.automation.planner import discover
from lance_assets.compute.captions import collect
from lance_assets.compute.ingest import ingest, make_plan
from lance_assets.compute.label import label
from lance_assets.compute.registry import active_scorers, fit, needs_fit, with_model
from lance_assets.compute.serve import served
from lance_assets.scoring.registry import scorers
from lance_assets.sources.base import Columns
from lance_assets.sources.files import FilesSource
from lance_assets.store import ledger
from lance_assets.store.rejects import read_rejects, reasons
from lance_assets.store.table import open_images
from lance_assets_tests.tables import add_batch

pytestmark = pytest.mark.usefixtures("joined")

LIGHT = ["sharpness", "caption_quality"]


def quiet(_: str) -> None:
    """Progress that nobody reads."""


def stored_batches(root, pictures, urls, batch_rows, tmp_path):
    """Captions of these URLs, collected in batches; returns (keys, plan)."""
    folder = tmp_path / "source"
    folder.mkdir(exist_ok=True)
    lines = [json.dumps({"opensource_url": url, "global_caption": f"Row {n} of many."}) for n, url in enumerate(urls)]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    source = FilesSource("shots", str(folder), Columns())
    keys = discover(source, [], batch_rows, None, {})
    for key in keys:
        collect(root, source, key)
    return keys, make_plan(root, {"attempts": 2}, frozenset({pictures.host}), 8)


def test_good_rows_are_stored_beside_bad_ones_which_are_rejected_with_their_reason(root, pictures, tmp_path):
    urls = [f"http://{pictures.host}/{n}.jpg" for n in range(6)]
    urls += [f"http://{pictures.host}/gone/6.jpg", f"http://{pictures.host}/html/7.jpg", "http://127.0.0.1:1/x.jpg", ""]
    keys, plan = stored_batches(root, pictures, urls, 10, tmp_path)
    (done,) = ingest(plan, keys, "run", quiet)
    assert (done.asked, done.stored) == (10, 6)
    assert done.rejected == {"http_404": 1, "not_an_image": 1, "blocked_address": 1, "missing_url": 1}
    assert reasons(read_rejects(root)) == done.rejected


def test_a_batch_again_downloads_nothing_and_changes_no_version(root, pictures, tmp_path):
    keys, plan = stored_batches(root, pictures, [f"http://{pictures.host}/{n}.jpg" for n in range(8)], 4, tmp_path)
    assert [done.changed for done in ingest(plan, keys, "run", quiet)] == [True, True]
    requests, version = len(pictures.paths), open_images(root).version
    assert [done.changed for done in ingest(plan, keys, "run", quiet)] == [False, False]
    assert (len(pictures.paths), open_images(root).version) == (requests, version)


def test_forcing_a_batch_downloads_it_again_and_leaves_no_duplicate(root, pictures, tmp_path):
    keys, plan = stored_batches(root, pictures, [f"http://{pictures.host}/{n}.jpg" for n in range(5)], 5, tmp_path)
    for force in (False, True):
        assert [done.changed for done in ingest(plan, keys, "run", quiet, force)] == [True]
    assert len(pictures.paths) == 10 and open_images(root).count_rows() == 5


def test_a_batch_without_captions_fails_alone(root, pictures, tmp_path):
    keys, plan = stored_batches(root, pictures, [f"http://{pictures.host}/{n}.jpg" for n in range(4)], 4, tmp_path)
    missing, good = ingest(plan, ["shots-00000000-0-4", *keys], "run", quiet)
    assert "no captions yet" in (missing.failure or "")
    assert good.failure is None and good.stored == 4


def test_scorer_calls_equal_the_stale_cells(root):
    add_batch(root, "a", 30, fragments=2)
    chosen = scorers(LIGHT, {})
    first = list(label(root, ["a"], chosen, "run-1", quiet))
    assert [(done.scorer, done.calls) for done in first] == [("sharpness", 30), ("caption_quality", 30)]
    assert [done.calls for done in label(root, ["a"], chosen, "run-2", quiet)] == [0, 0]
    add_batch(root, "b", 12, first=100)
    assert [done.calls for done in label(root, ["a", "b"], chosen, "run-3", quiet)] == [0, 0, 12, 12]
    runs = {(row["run_id"], row["batch"]) for row in ledger.read(root).to_pylist() if row["scorer"]}
    assert runs == {("run-1", "a"), ("run-3", "b")}


def test_bumping_one_scorer_relabels_only_that_column(root, monkeypatch):
    add_batch(root, "a", 10)
    chosen = scorers(LIGHT, {})
    list(label(root, ["a"], chosen, "run-1", quiet))
    monkeypatch.setattr(type(chosen["sharpness"]), "version", "next")
    done = {one.scorer: (one.calls, one.reasons) for one in label(root, ["a"], chosen, "run-2", quiet)}
    assert done == {"sharpness": (10, ["version"]), "caption_quality": (0, [])}


def test_a_batch_that_is_not_there_has_nothing_stale(root):
    add_batch(root, "a", 3)
    assert [done.calls for done in label(root, ["other"], scorers(LIGHT, {}), "run", quiet)] == [0, 0]


def test_the_served_scorer_labels_by_ray_serve_what_the_fitted_model_knows(root, tmp_path):
    add_batch(root, "a", 24)
    models = tmp_path / "models"
    fitted = fit(root, models)
    scorer = with_model(active_scorers(["alignment"], {}, models)["alignment"], models)
    with served(scorer, "run-1") as call:
        (done,) = label(root, ["a"], {"alignment": scorer}, "run-1", quiet, call)
    assert done.failure is None and sum(done.states.values()) == 24
    assert fit(root, models)["model_digest"] == fitted["model_digest"], "the same rows must give the same model"
    assert [one.calls for one in label(root, ["a"], {"alignment": scorer}, "run-2", quiet)] == [0]


def test_where_there_is_nothing_to_learn_alignment_refuses_every_row_and_wants_a_refit(root, tmp_path):
    add_batch(root, "a", 1)
    models = tmp_path / "models"
    assert fit(root, models)["nothing"]
    scorer = with_model(active_scorers(["alignment"], {}, models)["alignment"], models)
    (done,) = label(root, ["a"], {"alignment": scorer}, "run-1", quiet)
    assert done.states == {"ok": 0, "failed_transient": 0, "failed_permanent": 0, "refused": 1}
    assert needs_fit(models)
