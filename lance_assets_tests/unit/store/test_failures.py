"""Why rows have no value: recorded before it is announced, kept while the row fails, forgotten afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lance_assets.store import failures as module
from lance_assets.store.claims import claim
from lance_assets.store.cleanup import cleanup
from lance_assets.store.compact import compact
from lance_assets.store.failures import FAILED, FAILURES, failures, failures_table, record_failures
from lance_assets.store.files import DataRoot, delete, listing, names, write
from lance_assets.store.labelling import label_batch
from lance_assets_tests.labels import SHARP, WORDS, Labeller
from lance_assets_tests.tables import add_batch
from lance_assets_tests.unit.store.scenes import PERMANENT, REFUSED, TRANSIENT, Row, numbered, scoring, store

FOLDER = "failures/sharp/a"
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


class Failing(Labeller):
    """Rows in `why` fail with a state and a message."""

    def __init__(self, root: DataRoot, why: Mapping[str, tuple[int, str]]) -> None:
        super().__init__(root, cells=scoring({row: state for row, (state, _) in why.items()}))
        self.why = why

    def _part(self, *args: Any) -> Any:
        part = super()._part(*args)
        said = [self.why[id][1] for id in part.failures["id"].to_pylist()]
        return replace(part, failures=part.failures.set_column(2, FAILED.field(2), pa.array(said, pa.string())))


def said(root: DataRoot, column: str = "score_sharp", *batches: str) -> dict[str, str | None]:
    """Messages of the rows that fail now, by id."""
    found = failures(root, column, batches or ("a",))
    assert found.schema.names == [*FAILURES.names, "batch"]
    return {row["id"]: row["message"] for row in found.to_pylist()}


def row(id: str, message: str, minutes: int = 0) -> pa.Table:
    """Of schema FAILURES, by a run of that time."""
    told = dict.fromkeys(FAILURES.names) | {"id": id, "state": 1, "message": message}
    return pa.Table.from_pylist([told | {"time": FIRST + timedelta(minutes=minutes)}], FAILURES)


def test_rows_that_are_not_ok_are_failures_with_their_message() -> None:
    table = failures_table(pa.chunked_array([["a", "b"], ["c"]]), np.array([0, 3, 1], np.uint8), {1: "no"})
    assert table.to_pylist() == [
        {"id": "b", "state": 3, "message": "no"},
        {"id": "c", "state": 1, "message": None},
    ]
    assert failures_table(pa.chunked_array([["a"]]), np.zeros(1, np.uint8), {}).num_rows == 0


def test_what_failed_is_told_with_who_made_it_and_how_often(root: DataRoot) -> None:
    add_batch(root, "a", 6, fragments=2)
    Failing(root, {"a/1": (TRANSIENT, "later"), "a/5": (REFUSED, "never")})("a", SHARP, run_id="first")
    assert said(root) == {"a/1": "later", "a/5": "never"}
    Failing(root, {"a/1": (TRANSIENT, "again")})("a", SHARP, run_id="second")
    [again] = [one for one in failures(root, "score_sharp", ["a"]).to_pylist() if one["id"] == "a/1"]
    wanted = {"state": TRANSIENT, "message": "again", "attempts": 2, "version": "1", "run_id": "second", "batch": "a"}
    assert wanted.items() <= again.items() and again["config_hash"] == SHARP.config_hash
    assert said(root)["a/5"] == "never", "which was not asked again"


def test_only_rows_that_fail_now_are_told(root: DataRoot) -> None:
    add_batch(root, "a", 4)
    add_batch(root, "b", 2, first=50)
    Failing(root, {"a/1": (TRANSIENT, "later"), "a/2": (PERMANENT, "bad")})("a", SHARP)
    Labeller(root)("a", SHARP)
    assert said(root) == {"a/2": "bad"}
    assert said(root, "score_sharp", "b", "nowhere") == {} == said(root, "score_words")


@pytest.mark.parametrize("published", [False, True])
def test_messages_of_a_pass_that_was_not_published_explain_nothing(root: DataRoot, published: bool) -> None:
    def accept(column: str, parts: object) -> None:
        if not published:
            raise RuntimeError("broken")

    add_batch(root, "a", 4)
    Failing(root, {"a/1": (PERMANENT, "bad picture")})("a", SHARP, run_id="first")
    broken = Failing(root, {f"a/{at}": (PERMANENT, "bad code") for at in range(4)})
    label_batch(root, "a", [SHARP], "second", broken.jobs([SHARP]), accept, force=True)
    assert said(root) == ({f"a/{at}": "bad code" for at in range(4)} if published else {"a/1": "bad picture"})


def test_a_message_that_was_lost_is_null(root: DataRoot) -> None:
    add_batch(root, "a", 4)
    Failing(root, {"a/1": (PERMANENT, "bad")})("a", SHARP)
    for name in names(root, FOLDER):
        delete(root, f"{FOLDER}/{name}")
    assert said(root) == {"a/1": None}


def test_many_files_are_merged_and_the_last_word_wins(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MERGE_AFTER", 4)
    for at in range(4):
        record_failures(
            root, "score_sharp", "a", f"{at}.lance", pa.concat_tables([row("x", f"x{at}", at), row(f"y{at}", "y")])
        )
    assert len(names(root, FOLDER)) == 4
    record_failures(root, "score_sharp", "a", "4.lance", row("x", "early", -1))
    assert names(root, FOLDER) == ["4.parquet"]
    kept = module._read(root, FOLDER, "4.parquet")
    assert dict(zip(kept["id"].to_pylist(), kept["message"].to_pylist(), strict=True)) == {
        "x": "x3", "y0": "y", "y1": "y", "y2": "y", "y3": "y",
    }  # fmt: skip
    record_failures(root, "score_sharp", "a", "5.lance", row("x", "new", 9))
    assert names(root, FOLDER) == ["4.parquet", "5.parquet"]


def test_no_failure_writes_no_file(root: DataRoot) -> None:
    add_batch(root, "a", 4)
    Labeller(root)("a", SHARP, WORDS)
    assert list(listing(root, "failures")) == []


def test_a_reader_survives_a_merge_meanwhile(local_root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(3):
        record_failures(local_root, "score_sharp", "a", f"{at}.lance", row("x", f"x{at}", at))
    plain, merged = module._read, []

    def read(root: DataRoot, folder: str, name: str) -> pa.Table:
        if name == "1.parquet" and not merged:
            merged.append(name)
            with monkeypatch.context() as now:
                now.setattr(module, "_read", plain)
                now.setattr(module, "MERGE_AFTER", 3)
                record_failures(root, "score_sharp", "a", "9.lance", row("z", "z"))
        return plain(root, folder, name)

    monkeypatch.setattr(module, "_read", read)
    assert sorted(module._all(local_root, FOLDER)["id"].to_pylist()) == ["x", "z"]


def test_messages_survive_carrying_over_and_compaction(root: DataRoot) -> None:
    store(root, "a", numbered(4), numbered(4, 4))
    Failing(root, {"a/1": (PERMANENT, "bad"), "a/6": (TRANSIENT, "later")})("a", SHARP)
    store(root, "a", [*numbered(3), Row(3, image=99)], [*numbered(3, 4), Row(7, image=98)])
    assert said(root) == {"a/1": "bad", "a/6": "later"}
    compact(root)
    assert said(root) == {"a/1": "bad", "a/6": "later"}


def test_cleanup_forgets_rows_that_are_gone_or_have_a_value_since(root: DataRoot) -> None:
    store(root, "a", numbered(4))
    Failing(root, {f"a/{at}": (TRANSIENT, f"later {at}") for at in (0, 1, 3)})("a", SHARP, run_id="first")
    Failing(root, {"a/1": (TRANSIENT, "still"), "a/3": (TRANSIENT, "still")})("a", SHARP, run_id="second")
    store(root, "a", numbered(3))  # a/3 is gone
    write(root, "failures/notes.txt", b"somebody's own")
    cleanup(root)
    assert len(names(root, FOLDER)) == 2, "what is young may explain what is about to be published"
    with claim(root, "a"):
        assert cleanup(root, timedelta(0), patience=0).busy == ["a"]
    cleanup(root, timedelta(0), patience=0)
    [left] = names(root, FOLDER)
    kept = module._read(root, FOLDER, left)
    assert set(kept["id"].to_pylist()) == {"a/1"} and said(root) == {"a/1": "still"}
    store(root, "a", numbered(1))
    cleanup(root, timedelta(0), patience=0)
    assert names(root, FOLDER) == [] and said(root) == {}
