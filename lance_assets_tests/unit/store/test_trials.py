"""Labels that another version of a scorer replaced: on trial until they are compared, accepted or replaced."""

from dataclasses import replace

import numpy as np
import pytest

from lance_assets.preview.comparison import comparison_markdown
from lance_assets.store import labelling, moved, trials
from lance_assets.store.cells import Cells
from lance_assets.store.claims import claim
from lance_assets.store.columns import CellState
from lance_assets.store.moved import Limits
from lance_assets.store.table import open_images
from lance_assets.store.trials import HeldBack, judge, on_trial, require_accepted
from lance_assets_tests.histories import store, with_other_picture
from lance_assets_tests.labels import SHARP, WORDS, Labeller
from lance_assets_tests.tables import image_rows
from lance_assets_tests.unit.store.relabelled import COLUMN, LIMITS, ROWS, SECOND, THIRD, A, B, judged, scores


def test_a_first_labelling_and_a_second_look_have_nothing_to_compare(root, labelled):
    labelled(A, SHARP)
    assert on_trial(root, COLUMN) == [] and judge(root, COLUMN, A, LIMITS) is None


def test_a_version_that_gives_the_same_labels_passes(root, labelled):
    labelled(A, SECOND)
    assert on_trial(root, COLUMN) == [A]
    report = judged(root)
    assert report["passed"] and report["rows"] == ROWS and report["psi"] == 0 and report["same"] == 1
    assert (report["before"], report["after"]) == (["1 c0ffee"], ["2 c0ffee"])
    assert on_trial(root, COLUMN) == [] and judged(root) == report


def test_labels_that_are_dealt_out_anew_do_not_agree_although_their_distribution_stays(root, labelled):
    labelled.cells = scores(0, shuffled=True)
    labelled(A, SECOND)
    report = judge(root, COLUMN, A, Limits(psi=0.25, crossing_share=1, correlation=0.5))
    assert (
        report is not None and report["psi"] == 0 and report["why"] == ["correlation of old and new labels -1.00 < 0.5"]
    )


def test_a_batch_that_somebody_works_on_is_compared_and_its_trial_ends_at_the_next_look(root, labelled, monkeypatch):
    labelled(A, SECOND)
    monkeypatch.setattr(trials, "BRIEFLY", 0)
    with claim(root, A):
        assert judged(root)["passed"] and on_trial(root, COLUMN) == [A]
    assert judged(root)["passed"] and on_trial(root, COLUMN) == []


def test_labels_that_are_lost_are_limited_whatever_the_filter_says(root, labelled):
    def half_fail(identity, rows):
        values = np.array([50.0] * rows.num_rows)
        states = np.array([CellState.REFUSED if at % 2 else CellState.OK for at in range(rows.num_rows)], np.uint8)
        return Cells.of(values, states)

    labelled.cells = half_fail
    labelled(A, SECOND)
    report = judge(root, COLUMN, A, Limits(psi=100, crossing_share=0.05, filter=f"{COLUMN} IS NOT NULL"))
    assert report is not None and report["lost_label"] == 20 and not report["passed"]
    assert report["why"] == ["50.0% of rows lost their label, > 5.0%"]
    assert report["no_threshold"] and "no comparison with a number" in comparison_markdown(report)
    assert "none for this column" in comparison_markdown(report | {"no_threshold": False})


def test_what_was_judged_is_not_compared_again_until_labels_or_limits_change(root, labelled, monkeypatch):
    labelled.cells = scores(30)
    for batch in (A, B):
        labelled(batch, SECOND)
    compared, whole = [], moved.compared
    monkeypatch.setattr(trials, "compared", lambda *said: (compared.append(said[3]), whole(*said))[1])

    def asked(limits=LIMITS, **more):
        compared.clear()
        with pytest.raises(HeldBack) as refused:
            require_accepted(root, open_images(root), [COLUMN], limits, **more)
        return list(compared), str(refused.value)

    names, says = asked(count=False)
    assert names == [A] and "in at least 1 batch (a)" in says
    for batch in (A, B):
        judged(root, batch)
    names, says = asked()
    assert names == [] and "in 2 batches (a, b)" in says
    assert asked(replace(LIMITS, psi=0.2))[0] == [A, B]
    labelled.cells = scores(40)
    labelled(B, THIRD)
    assert asked()[0] == [B]


def test_a_third_version_is_compared_with_the_labels_that_were_accepted_last(root, labelled):
    labelled.cells = scores(30)
    labelled(A, SECOND)
    assert not judged(root)["passed"]
    labelled.cells = scores(0)
    labelled(A, THIRD)
    report = judged(root)
    assert report["passed"] and report["before"] == ["1 c0ffee", "2 c0ffee"] and on_trial(root, COLUMN) == []


def test_a_pass_that_is_killed_before_its_commit_leaves_a_trial_that_passes(root, labelled, monkeypatch):
    labelled.cells = scores(30)

    def killed(*_):
        raise SystemExit("kill -9")

    with monkeypatch.context() as patched:
        patched.setattr(labelling, "publish", killed)
        with pytest.raises(SystemExit):
            labelled(A, SECOND)
    assert on_trial(root, COLUMN) == [A]
    assert judged(root)["passed"]  # the table still holds what it held
    labelled(A, SECOND)
    assert not judged(root)["passed"]


def test_a_pass_that_is_killed_after_its_commit_leaves_its_labels_on_trial(root, labelled):
    labelled.cells = scores(30)
    labelled(A, SECOND)  # and nobody judged
    with pytest.raises(HeldBack):
        require_accepted(root, open_images(root), [COLUMN], LIMITS)


def test_rows_that_are_replaced_end_their_trial(root):
    rows = image_rows(A, 10)
    store(root, rows, "download")
    labeller = Labeller(root, cells=scores(0))
    labeller(A, SHARP)
    labeller.cells = scores(60)
    labeller(A, SECOND)
    assert not judged(root)["passed"]
    for number in range(10):
        rows = with_other_picture(rows, f"{A}/{number}")
    store(root, image_rows(A, 10, first=100), "download again")
    labeller(A, SECOND)
    report = judged(root)
    assert report["passed"] and report["rows"] == 0 and on_trial(root, COLUMN) == []


def test_labels_that_are_carried_into_a_replaced_batch_stay_on_trial(root):
    store(root, image_rows(A, 10), "download")
    labeller = Labeller(root, cells=scores(0))
    labeller(A, SHARP)
    labeller.cells = scores(60)
    labeller(A, SECOND)
    store(root, with_other_picture(image_rows(A, 10), f"{A}/7"), "download again")
    assert judged(root)["crossed_in"] == 9  # the tenth has no label yet


def test_another_column_and_a_retry_of_failed_rows_start_no_trial(root, labelled):
    labelled(A, WORDS)
    labelled(A, SHARP, force=True)
    assert on_trial(root, COLUMN) == on_trial(root, WORDS.column) == []
