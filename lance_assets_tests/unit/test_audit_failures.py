"""`audit failures` and the counts of `retry --column`: which rows have no value, why, in words and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lance_assets.audit.failures import audit_failures, words
from lance_assets.audit.text import SHOWN
from lance_assets.cli.retry_column import _failed, column_words
from lance_assets.compute.fragment import Tools
from lance_assets.compute.in_process import in_process
from lance_assets.compute.label import label
from lance_assets.errors import BadInput
from lance_assets.scoring.api import Item, ScoreFailure, State
from lance_assets.store.files import DataRoot, delete, listing
from lance_assets_tests.scorers import Counted, joined
from lance_assets_tests.tables import add_batch

COLUMN = "score_counted"


def spoilt(item: Item) -> Exception | None:
    number = int(item.id.partition("/")[2])
    if number % 10 == 1:
        return MemoryError("too large\nby far")
    return ScoreFailure(State.REFUSED, "refused " + "x" * 200) if number == 52 else None


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    """Two batches in which two, and two, of ten rows fail."""
    root, scorer = DataRoot(tmp_path / "data"), Counted()
    add_batch(root, "a", 12)
    add_batch(root, "b", 6, first=50)
    scorer.raises = spoilt
    list(label(root, ["a", "b"], joined(scorer), "run-1", lambda line: None, Tools(), runner=in_process))
    return root


def test_rows_come_with_their_batch_state_and_message(root: DataRoot) -> None:
    found = json.loads(json.dumps(audit_failures(root, "counted")))
    assert (found["column"], found["failed"]) == (COLUMN, {"failed_transient": 3, "refused": 1})
    by_id = {row["id"]: row for row in found["rows"]}
    assert sorted(by_id) == ["a/1", "a/11", "b/51", "b/52"]
    wanted = {"batch": "b", "state": "failed_transient", "message": "MemoryError: too large", "attempts": 1}
    assert wanted.items() <= by_id["b/51"].items() and by_id["b/51"]["run_id"] == "run-1"
    assert by_id["b/51"]["time"].endswith("Z")


def test_people_see_how_often_which_message_then_rows(root: DataRoot) -> None:
    lines = words(audit_failures(root, COLUMN))
    assert lines[0] == f"column     {COLUMN}" and {"3 failed_transient", "1 refused"} == set(
        lines[1].removeprefix("failed     ").split(", ")
    )
    assert [line.split()[:2] for line in lines if line.startswith(("3 ", "1 "))] == [
        ["3", "failed_transient"],
        ["1", "refused"],
    ]
    assert max(map(len, lines)) < 250 and any("a/11" in line for line in lines)


def test_more_rows_than_people_read_are_counted(root: DataRoot) -> None:
    found = audit_failures(root, COLUMN)
    lines = words({**found, "rows": found["rows"] * SHOWN})
    assert lines[-1] == f"... and {3 * SHOWN} more: --json has all"


def test_a_lost_message_is_a_dash(root: DataRoot) -> None:
    for name, _, _ in list(listing(root, "failures")):
        delete(root, f"failures/{name}")
    found = audit_failures(root, COLUMN)
    assert {(row["message"], row["time"], row["attempts"]) for row in found["rows"]} == {(None, None, None)}
    assert any(line.split() == ["3", "failed_transient", "-"] for line in words(found))


def test_a_column_in_which_nothing_failed_says_none(root: DataRoot) -> None:
    list(label(root, ["a", "b"], joined(Counted(version="2")), "run-2", lambda line: None, Tools(), runner=in_process))
    found = audit_failures(root, COLUMN)
    assert (found["failed"], found["rows"]) == ({}, [])
    assert words(found) == [f"column     {COLUMN}", "failed     none"]


def test_another_name_is_refused_with_what_there_is(root: DataRoot) -> None:
    with pytest.raises(BadInput, match=r"no score column 'sharp' .*: there are counted"):
        audit_failures(root, "sharp")


def test_a_retry_counts_what_failed_in_passing_by_batch(root: DataRoot, tmp_path: Path) -> None:
    assert _failed(root, COLUMN) == {"a": 2, "b": 1}
    assert _failed(root, "score_other") == {} == _failed(DataRoot(tmp_path / "nowhere"), COLUMN)


def test_a_retry_says_what_is_left_and_where_to_look() -> None:
    told = {"column": COLUMN, "tried": 3, "left": 1, "failed": ["score/counted of b: TimeoutError"]}
    assert column_words(told) == [
        "cells     3 of score_counted tried again, 1 of them fail still",
        "hint      lance-assets audit failures score_counted says why",
        "FAILED    score/counted of b: TimeoutError",
    ]
    assert len(column_words({**told, "left": 0, "failed": []})) == 1
