"""Labels over a real Ray: exactly the stale cells, nothing written twice."""

import pytest

from lance_assets.compute.label import label
from lance_assets.compute.label_models import label_with_models
from lance_assets.compute.registry import active_scorers, fit
from lance_assets.compute.scorers import needs_fit
from lance_assets.scoring.registry import scorers
from lance_assets.settings import Home, Platform
from lance_assets.store import ledger
from lance_assets_tests.ray.labelled import LIGHT, quiet
from lance_assets_tests.tables import add_batch

pytestmark = pytest.mark.usefixtures("joined")


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


def test_bumping_one_scorer_relabels_only_that_column(root):
    add_batch(root, "a", 10)
    chosen = scorers(LIGHT, {})
    list(label(root, ["a"], chosen, "run-1", quiet))
    chosen["sharpness"].version = "next"
    done = {one.scorer: (one.calls, one.reasons) for one in label(root, ["a"], chosen, "run-2", quiet)}
    assert done == {"sharpness": (10, ["version"]), "caption_quality": (0, [])}


def test_a_batch_that_is_not_there_has_nothing_stale(root):
    add_batch(root, "a", 3)
    assert [done.calls for done in label(root, ["other"], scorers(LIGHT, {}), "run", quiet)] == [0, 0]


@pytest.fixture
def platform(tmp_path):
    return Platform(Home(tmp_path, tmp_path / "data"))


def test_the_served_scorer_labels_by_ray_serve_what_the_fitted_model_knows(root, platform):
    add_batch(root, "a", 24)
    fitted = fit(root, platform.home.models)

    def labelled(run: str):
        chosen = {"alignment": active_scorers(platform)["alignment"]}
        return list(label_with_models(root, ["a"], chosen, run, quiet, platform.home))

    (done,) = labelled("run-1")
    assert done.failure is None and sum(done.states.values()) == 24
    assert fit(root, platform.home.models)["model_digest"] == fitted["model_digest"], "the same rows, the same model"
    assert [one.calls for one in labelled("run-2")] == [0]


def test_where_there_is_nothing_to_learn_alignment_refuses_every_row_and_wants_a_refit(root, platform):
    add_batch(root, "a", 1)
    assert fit(root, platform.home.models)["nothing"]
    chosen = {"alignment": active_scorers(platform)["alignment"]}
    (done,) = label_with_models(root, ["a"], chosen, "run-1", quiet, platform.home)
    assert done.states == {"ok": 0, "failed_transient": 0, "failed_permanent": 0, "refused": 1}
    assert needs_fit(platform.home.models)


def test_a_scorer_that_lacks_its_model_fails_alone_and_by_name(root, platform):
    add_batch(root, "a", 3)
    known = active_scorers(platform)
    chosen = {name: known[name] for name in ("alignment", "sharpness")}
    lacking, done = label_with_models(root, ["a"], chosen, "run-1", quiet, platform.home)
    assert "materialize alignment_model first" in (lacking.failure or "") and lacking.calls == 0
    assert done.failure is None and done.calls == 3
