"""A labelling pass scores exactly the stale rows, each once, whoever asks and however often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from lance_assets.store import ledger
from lance_assets.store.claims import Busy, claim
from lance_assets.store.files import DataRoot
from lance_assets.store.intents import Part
from lance_assets.store.labelling import Job, label_batch
from lance_assets.store.staging import publish
from lance_assets.store.staleness import all_stale_cells, stale_cells
from lance_assets.store.table import open_images
from lance_assets.store.verify import verify
from lance_assets_tests.labels import SHARP, WORDS, Labeller
from lance_assets_tests.tables import add_batch
from lance_assets_tests.unit.store import scenes
from lance_assets_tests.unit.store.scenes import OK, PERMANENT, REFUSED, TRANSIENT, numbered

SCORE = SHARP.column
NEWER = replace(SHARP, version="2")


@pytest.fixture
def labeller(root: DataRoot) -> Labeller:
    """For a batch of ten rows in fragments 0 and 1 of five."""
    scenes.store(root, "a", numbered(5), numbered(5, first=5))
    return Labeller(root)


def intents(root: DataRoot) -> list[ledger.Intent]:
    """What the ledger says of the files of the column that count, in fragment order."""
    known = ledger.history(ledger.read(root, "a"))
    files = [file for _, files in scenes.fragments(root) for file in files]
    return [intent for file in files for intent in known.get((SCORE, file), ())]


def test_each_row_is_scored_once_and_a_second_pass_does_nothing(labeller):
    root = labeller.root
    [sharp, words] = labeller("a", SHARP, WORDS)
    assert sorted(labeller.calls) == [(SCORE, 0, 5), (SCORE, 1, 5), (WORDS.column, 0, 5), (WORDS.column, 1, 5)]
    assert (sharp.calls, words.calls) == (10, 10) and sharp.version < words.version
    right = scenes.right(root, SHARP, WORDS)
    assert all(scenes.values(root, column) == right[column] for column in right)
    version, before = open_images(root).version, scenes.data_files(root, "images.lance", "ledger.lance")
    outcomes = labeller("a", SHARP, WORDS)
    assert [outcome.calls for outcome in outcomes] == [0, 0] and labeller.rows == 20
    assert open_images(root).version == version
    assert scenes.data_files(root, "images.lance", "ledger.lance") == before


def test_a_column_and_a_batch_are_labelled_without_touching_others(labeller):
    root = labeller.root
    add_batch(root, "b", 4)
    labeller("a", SHARP)
    labeller("b", WORDS)
    assert [row for row, state in scenes.states(root, SCORE).items() if state == OK] == [f"a/{n}" for n in range(10)]
    assert [row for row, state in scenes.states(root, WORDS.column).items() if state == OK] == [
        f"b/{n}" for n in range(4)
    ]
    stale = all_stale_cells(root, open_images(root), [SHARP, WORDS])
    assert {key: [(cell.fragment, cell.column) for cell in cells] for key, cells in stale.items()} == {
        "a": [(0, WORDS.column), (1, WORDS.column)],
        "b": [(2, SCORE)],
    }


@pytest.mark.parametrize(
    ("now", "reason"), [(NEWER, "version"), (replace(SHARP, config_hash="beef"), "config")], ids=["version", "config"]
)
def test_another_version_or_config_makes_only_its_column_stale(labeller, now, reason):
    labeller("a", SHARP, WORDS)
    assert scenes.reasons(labeller.root, "a", now, WORDS) == [reason, reason]
    labeller("a", now, WORDS)
    assert labeller.rows == 30
    assert scenes.values(labeller.root, SCORE) == scenes.right(labeller.root, now)[SCORE]
    assert scenes.reasons(labeller.root, "a", now, WORDS) == []


def test_of_rows_that_failed_in_passing_only_these_are_tried_again_and_attempts_count(labeller):
    root = labeller.root
    seen: list[str] = []
    labeller.cells = scenes.scoring({"a/1": TRANSIENT, "a/7": TRANSIENT, "a/8": REFUSED, "a/9": PERMANENT}, seen)
    labeller("a", SHARP)
    for attempts in (1, 2, 3):
        failed = [intent for intent in intents(root) if intent.rows_failed_transient]
        assert [intent.attempts for intent in failed] == [attempts] * 2
        assert all(intent.due == ledger.retry_at(intent.planned, attempts) for intent in failed)
        seen.clear()
        labeller("a", SHARP)
        assert sorted(seen) == ["a/1", "a/7"]
    labeller.cells = scenes.scoring({"a/7": PERMANENT}, seen)
    labeller("a", SHARP)
    seen.clear()
    labeller("a", SHARP)
    assert seen == [] and verify(root).clean
    assert {row: state for row, state in scenes.states(root, SCORE).items() if state != OK} == {
        "a/7": PERMANENT,
        "a/8": REFUSED,
        "a/9": PERMANENT,
    }


def test_rows_that_failed_in_passing_wait_until_they_are_due_unless_somebody_reruns(labeller):
    root = labeller.root
    labeller.cells = scenes.scoring({"a/1": TRANSIENT})
    labeller("a", SHARP)
    now, dataset = ledger.now(), open_images(root)
    assert stale_cells(root, dataset, "a", [SHARP], due=now) == []
    for due in (now + ledger.FIRST_RETRY, None):
        [cell] = stale_cells(root, dataset, "a", [SHARP], due=due)
        assert (cell.fragment, cell.rows, cell.reason, cell.attempts) == (0, 1, "failed", 1)
        assert cell.offsets is not None and cell.offsets.tolist() == [1]


def test_the_pause_doubles_from_a_minute_to_an_hour():
    now = ledger.now()
    pauses = [ledger.retry_at(now, attempts) - now for attempts in (1, 2, 3, 7, 99)]
    assert pauses == [timedelta(minutes=minutes) for minutes in (1, 2, 4, 60, 60)]


def test_a_file_that_nobody_announced_is_unknown_and_scored(labeller):
    root = labeller.root
    labeller("a", SHARP)
    publish(root, [scenes.staged(root, 1, SCORE, 7.0)], {})
    assert scenes.reasons(root, "a", SHARP) == ["unknown"]
    labeller("a", SHARP)
    assert labeller.rows == 15 and scenes.values(root, SCORE) == scenes.right(root, SHARP)[SCORE]


def test_force_scores_everything_again(labeller):
    labeller("a", SHARP)
    [outcome] = labeller("a", SHARP, force=True)
    assert outcome.calls == 10 and {cell.reason for cell in outcome.stale} == {"forced"} and labeller.rows == 20


def test_a_job_that_fails_costs_only_itself(labeller):
    root, run = labeller.root, labeller.jobs([SHARP, WORDS])

    def partly(version: int, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Part] | Exception]]:
        for job, parts in run(version, jobs):
            yield job, RuntimeError("the worker died") if job.fragment == 0 else parts

    outcomes = label_batch(root, "a", [SHARP, WORDS], "run", partly)
    assert [str(outcome.error) for outcome in outcomes] == ["the worker died"] * 2
    assert [cell.fragment for cell in stale_cells(root, open_images(root), "a", [SHARP, WORDS])] == [0, 0]
    labeller.calls.clear()
    labeller("a", SHARP, WORDS)
    assert sorted(labeller.calls) == [(SCORE, 0, 5), (WORDS.column, 0, 5)]


def test_a_column_that_is_not_accepted_keeps_none_of_the_others_from_being_published(labeller):
    def accept(column: str, parts: Sequence[Part]) -> None:
        if column == SCORE:
            raise RuntimeError(f"{len(parts)} parts look odd")

    outcomes = label_batch(labeller.root, "a", [SHARP, WORDS], "run", labeller.jobs([SHARP, WORDS]), accept)
    assert [str(outcome.error or "") for outcome in outcomes] == ["2 parts look odd", ""]
    assert scenes.reasons(labeller.root, "a", SHARP, WORDS) == ["new", "new"]


def test_the_rows_of_a_label_are_explained_down_to_run_version_and_time(labeller):
    started = ledger.now()
    labeller("a", SHARP, run_id="run-7")
    [first, _] = intents(labeller.root)
    told = (first.scorer, first.version, first.config_hash, first.run_id, first.batch, first.fragment, first.rows_ok)
    assert told == ("sharp", "1", "c0ffee", "run-7", "a", 0, 5)
    assert started <= first.started <= first.planned <= ledger.now() and first.read_version > 1
    assert first.offsets is None and first.base is None and first.attempts == 1 and first.due is None


def test_who_finds_the_batch_claimed_is_told_and_scores_nothing(labeller, monkeypatch):
    monkeypatch.setattr("lance_assets.store.labelling.claim", lambda root, name: claim(root, name, timeout=0))
    with claim(labeller.root, "a"), pytest.raises(Busy, match="a is being written"):
        labeller("a", SHARP)
    assert labeller.rows == 0


def test_a_batch_that_is_not_stored_has_nothing_stale(labeller):
    [outcome] = labeller("nobody", SHARP)
    assert (outcome.calls, outcome.error, labeller.rows) == (0, None, 0)


def test_single_rows_that_are_relabelled_leave_their_neighbours_makers_alone(labeller):
    root = labeller.root
    labeller.cells = scenes.scoring({"a/1": TRANSIENT})
    labeller("a", SHARP, run_id="first")
    labeller.cells = None
    labeller("a", SHARP, run_id="second")
    made = {offset: intent.run_id for intent in intents(root) if intent.fragment == 0 for offset in intent.covered(5)}
    assert made == {0: "first", 1: "second", 2: "first", 3: "first", 4: "first"}
    assert scenes.values(root, SCORE) == scenes.right(root, SHARP)[SCORE] and np.unique(list(made)).size == 5
