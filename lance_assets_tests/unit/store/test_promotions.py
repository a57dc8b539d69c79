"""Labels that moved too far and are accepted all the same: by a person, for a reason, recorded, and not unseen."""

import pytest

from lance_assets.errors import BadInput
from lance_assets.store import promotions as promotions_of
from lance_assets.store import trials
from lance_assets.store.claims import claim
from lance_assets.store.promotions import promote, promotions
from lance_assets.store.selection import latest_manifest, pin
from lance_assets.store.table import open_images
from lance_assets.store.trials import HeldBack, on_trial, require_accepted
from lance_assets_tests.unit.store.relabelled import COLUMN, LIMITS, ROWS, SECOND, THIRD, A, B, judged, scores


def test_a_version_that_moves_labels_holds_back_its_batch_alone_until_it_is_promoted(root, labelled):
    labelled.cells = scores(30)
    labelled(A, SECOND)
    labelled.cells = scores(0)
    labelled(B, SECOND)
    with pytest.raises(HeldBack, match=r"in 1 batch \(a\).*promote --column sharp --reason"):
        require_accepted(root, open_images(root), [COLUMN], LIMITS)
    report = judged(root)
    assert report["crossed_in"] == 20 and report["crossing_share"] == 0.5 and report["mean_shift"] == 30
    assert {move["after"] - move["before"] for move in report["moves"]} == {30} and len(report["why"]) == 2
    told = promote(root, COLUMN, LIMITS, "ann", "sharper on purpose")
    assert [one["batch"] for one in told["verdicts"]] == [A]
    require_accepted(root, open_images(root), [COLUMN], LIMITS)
    assert promotions(root) == [told]
    assert judged(root)["promotion"]["reason"] == "sharper on purpose"


def test_a_promotion_needs_a_reason_and_something_to_promote(root, labelled):
    with pytest.raises(BadInput, match="wait to be accepted"):
        promote(root, COLUMN, LIMITS, "ann", "because")
    labelled.cells = scores(30)
    labelled(A, SECOND)
    with pytest.raises(BadInput, match="reason"):
        promote(root, COLUMN, LIMITS, "ann", "  ")
    assert on_trial(root, COLUMN) == [A] and promotions(root) == []


def test_labels_that_change_while_they_are_promoted_are_not_accepted_unseen(root, labelled, monkeypatch):
    labelled.cells = scores(30)
    labelled(A, SECOND)
    whole = promotions_of.end_trial

    def relabelled_before(*said):
        labelled.cells = scores(60)
        labelled(A, THIRD)
        whole(*said)

    monkeypatch.setattr(promotions_of, "end_trial", relabelled_before)
    with pytest.raises(BadInput, match=r"changed since they were compared"):
        promote(root, COLUMN, LIMITS, "ann", "sharper on purpose")
    assert on_trial(root, COLUMN) == [A] and promotions(root) == []


def test_a_promotion_names_only_batches_whose_trial_ended_and_those_that_are_left(root, labelled, monkeypatch):
    labelled.cells = scores(30)
    for batch in (A, B):
        labelled(batch, SECOND)
    monkeypatch.setattr(trials, "BRIEFLY", 0)
    monkeypatch.setattr(trials, "PATIENTLY", 0)
    with claim(root, B):
        told = promote(root, COLUMN, LIMITS, "ann", "sharper on purpose")
    assert [one["batch"] for one in told["verdicts"]] == [A] and "being written" in told["left"][B]
    assert promotions(root) == [told] and on_trial(root, COLUMN) == [B]
    assert judged(root)["promotion"]["by"] == "ann" and "promotion" not in judged(root, B)


def test_a_training_set_takes_no_labels_on_trial_and_is_made_after_their_promotion(root, labelled):
    labelled.cells = scores(30)
    labelled(A, SECOND)

    def pinned():
        return pin(
            root, LIMITS.filter, 0.2, [COLUMN], allow=lambda version: require_accepted(root, version, [COLUMN], LIMITS)
        )

    with pytest.raises(HeldBack):
        pinned()
    assert latest_manifest(root) is None
    promote(root, COLUMN, LIMITS, "ann", "sharper on purpose")
    assert sum(pinned()["rows"].values()) == ROWS + ROWS // 2
