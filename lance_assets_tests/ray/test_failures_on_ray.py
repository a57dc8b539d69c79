"""What fails costs only itself: a column, a scorer, a server that is gone."""

import pytest

from lance_assets.compute.label import label
from lance_assets.scoring.api import RowScorer
from lance_assets.scoring.registry import scorers
from lance_assets.store import labelling
from lance_assets.store.columns import Superseded
from lance_assets.store.table import open_images
from lance_assets_tests.ray.labelled import LIGHT, quiet
from lance_assets_tests.tables import add_batch

pytestmark = pytest.mark.usefixtures("joined")


class Broken(RowScorer):
    """Raises on each row, as a missing package would."""

    name = "broken"
    version = "1"
    fields = ("messages",)
    description = "for this test"

    def score_one(self, item):
        raise ImportError("no module named nothing")


def test_a_scorer_that_fails_on_every_row_is_not_published_and_says_why(root):
    add_batch(root, "a", 5)
    chosen = {**scorers(["sharpness"], {}), "broken": Broken()}
    good, bad = label(root, ["a"], chosen, "run", quiet)
    assert good.failure is None and good.states["ok"] == 5
    assert "failed on each of 5 rows" in (bad.failure or "") and "no module named nothing" in (bad.failure or "")
    assert open_images(root).count_rows("score_broken__state IS NOT NULL") == 0


def test_a_column_that_cannot_be_published_leaves_the_others_done(root, monkeypatch):
    add_batch(root, "a", 5)
    plain = labelling.publish

    def publish(root, staged, properties, held):
        if staged[0].column == "score_sharpness":
            raise Superseded("somebody else was faster")
        return plain(root, staged, properties, held)

    monkeypatch.setattr(labelling, "publish", publish)
    first, second = label(root, ["a"], scorers(LIGHT, {}), "run", quiet)
    assert first.failure == "Superseded: somebody else was faster"
    assert second.failure is None and second.states["ok"] == 5
    monkeypatch.undo()
    again = list(label(root, ["a"], scorers(LIGHT, {}), "run-2", quiet))
    assert [(one.planned, one.calls, one.failure) for one in again] == [(5, 0, None), (0, 0, None)]
    assert open_images(root).count_rows("score_sharpness__state = 0") == 5
