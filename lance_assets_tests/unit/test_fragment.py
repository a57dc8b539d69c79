"""One fragment: scorers here and elsewhere, each failing for itself; so many requests on their way and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lance_assets.compute import reading
from lance_assets.compute.fragment import IN_FLIGHT, Fragment, Tools, rows_of, score_fragment, score_locally
from lance_assets.compute.replica import cut
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.passes import Scored, score_items
from lance_assets.store.columns import ensure_columns
from lance_assets.store.files import DataRoot
from lance_assets.store.labelling import Job
from lance_assets.store.table import open_images
from lance_assets_tests.scorers import Counted, joined
from lance_assets_tests.tables import add_batch

NAMES = ("served", "counted", "bad")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataRoot:
    """A fragment of 100 rows that is read in seven pieces."""
    monkeypatch.setattr(reading, "MOST", 16)
    root = DataRoot(tmp_path / "data")
    add_batch(root, "a", 100)
    ensure_columns(root, {f"score_{name}": pa.float32() for name in NAMES})
    return root


def scored(root: DataRoot, tools: Tools, *scorers: Scorer, offsets: np.ndarray | None = None) -> Fragment:
    job = Job(0, {f"score_{scorer.name}": offsets for scorer in scorers})
    return score_fragment(root, open_images(root).version, job, joined(*scorers), tools)


@dataclass
class Replica:
    """A fake Ask: answers when its result is wanted. `most` = requests that were on their way at a time."""

    scorer: Scorer = field(default_factory=lambda: Counted("served"))
    fails: Callable[[int], Exception | None] = lambda call: None
    asked: list[int] = field(default_factory=list)
    waiting: int = 0
    most: int = 0

    def __call__(self, rows: pa.Table) -> Answer:
        self.asked.append(rows.num_rows)
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        return Answer(self, rows, len(self.asked))


@dataclass
class Answer:
    replica: Replica
    rows: pa.Table
    number: int

    def result(self) -> Scored:
        self.replica.waiting -= 1
        if error := self.replica.fails(self.number):
            raise error
        return score_items({"served": self.replica.scorer}, rows_of(self.rows))["served"]


def test_a_served_scorer_is_asked_for_some_chunks_ahead_and_its_answers_keep_their_rows(root: DataRoot) -> None:
    scorer = Counted("served")
    scorer.raises = lambda item: ValueError(item.id) if item.id == "a/77" else None
    replica = Replica(scorer)
    done = scored(root, Tools(served={"served": replica}), Counted("served"), Counted())
    assert (replica.asked, replica.most) == ([16] * 6 + [4], IN_FLIGHT)
    served, here = sorted(done.parts, key=lambda part: part.staged.column, reverse=True)
    assert (served.states, here.states) == ((99, 0, 1, 0), (100, 0, 0, 0)) and done.errors == {}
    assert served.failures.to_pylist() == [{"id": "a/77", "state": 2, "message": "ValueError: a/77"}]
    assert served.digest == here.digest, "both read the same"


def test_a_served_scorer_that_is_gone_costs_its_own_column_and_is_asked_no_more(root: DataRoot) -> None:
    replica = Replica(fails=lambda call: TimeoutError("no answer") if call == 1 else None)
    done = scored(root, Tools(served={"served": replica}), Counted("served"), Counted())
    assert [part.staged.column for part in done.parts] == ["score_counted"]
    assert {name: str(error) for name, error in done.errors.items()} == {"served": "no answer"}
    assert len(replica.asked) == IN_FLIGHT


def test_the_last_answers_may_fail_as_well(root: DataRoot) -> None:
    replica = Replica(fails=lambda call: ConnectionError("gone") if call == 7 else None)
    done = scored(root, Tools(served={"served": replica}), Counted("served"))
    assert done.parts == [] and isinstance(done.errors["served"], ConnectionError)


def test_served_and_other_scorers_want_their_own_rows(root: DataRoot) -> None:
    replica = Replica()
    done = scored(root, Tools(served={"served": replica}), Counted("served"), offsets=np.array([3, 40]))
    assert sum(replica.asked) == 2 and done.parts[0].states == (2, 0, 0, 0)


def test_a_model_that_cannot_be_loaded_costs_its_own_column_by_name(root: DataRoot) -> None:
    bad = Counted("bad")
    bad.broken = FileNotFoundError("model.npz")
    done = scored(root, Tools(), bad, Counted())
    assert list(done.errors) == ["bad"] and [part.staged.column for part in done.parts] == ["score_counted"]
    assert scored(root, Tools(), bad).parts == [], "and nothing is read for it alone"


def test_a_scorer_that_cannot_work_at_all_costs_its_own_column(root: DataRoot) -> None:
    def call(scorers: object, rows: pa.Table) -> dict[str, Scored | Exception]:
        good = score_locally({"counted": Counted()}, rows)
        return {"counted": good["counted"], "bad": RuntimeError("ends its process")}

    done = scored(root, Tools(call=call), Counted("bad"), Counted())
    assert [part.states[0] for part in done.parts] == [100] and str(done.errors["bad"]) == "ends its process"


def test_answers_to_several_calls_are_cut_at_their_lengths() -> None:
    column = Scored(pa.array([1.0, None, 3.0, None]), np.array([0, 2, 0, 1], np.uint8), {1: "one", 3: "three"})
    first, nothing, second = cut(column, [2, 0, 2])
    assert (first.values.to_pylist(), first.states.tolist(), first.messages) == ([1.0, None], [0, 2], {1: "one"})
    assert (len(nothing.values), nothing.messages) == (0, {})
    assert (second.values.to_pylist(), second.states.tolist(), second.messages) == ([3.0, None], [0, 1], {1: "three"})
