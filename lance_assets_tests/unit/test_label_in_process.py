"""The labelling loop on real tables, without a cluster: calls equal stale cells, whatever moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from lance_assets.compute.fragment import Tools
from lance_assets.compute.in_process import in_process
from lance_assets.compute.label import Labelled, label
from lance_assets.scoring.api import Item, Scorer, State
from lance_assets.store.files import DataRoot
from lance_assets.store.verify import verify
from lance_assets_tests.scorers import Counted, Plus, joined
from lance_assets_tests.tables import add_batch
from lance_assets_tests.unit.store.scenes import cells, states, values

IDS = [f"a/{at}" for at in range(10)]


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    """Ten rows in two fragments."""
    root = DataRoot(tmp_path / "data")
    add_batch(root, "a", 10, fragments=2)
    return root


def labelled(
    root: DataRoot, scorers: Mapping[str, Scorer] | Scorer, batches: Sequence[str] = ("a",), run: str = "run"
) -> dict[str, Labelled]:
    """By column, or by column and batch where there are several."""
    chosen = joined(scorers) if isinstance(scorers, Scorer) else scorers
    found = list(label(root, batches, chosen, run, lambda line: None, Tools(), runner=in_process))
    return {one.scorer if len(batches) == 1 else f"{one.scorer} {one.batch}": one for one in found}


def test_calls_equal_the_stale_cells_and_a_second_pass_asks_for_nothing(root: DataRoot) -> None:
    scorer = Counted()
    assert labelled(root, scorer)["counted"].calls == 10 and sorted(scorer.calls) == sorted(IDS)
    assert set(values(root, "score_counted").values()) == {10.0}
    again = Counted()
    assert labelled(root, again)["counted"].calls == 0 and (again.calls, again.loads) == ([], 0)


def test_bumping_one_scorer_relabels_only_that_column(root: DataRoot) -> None:
    labelled(root, joined(Counted(), Counted("other")))
    one, other = Counted(version="2"), Counted("other")
    done = labelled(root, joined(one, other))
    assert (done["counted"].calls, done["counted"].reasons, done["other"].calls) == (10, ["version"], 0)
    assert (len(one.calls), other.calls) == (10, [])


def test_adding_a_batch_labels_its_rows_only(root: DataRoot) -> None:
    labelled(root, Counted())
    add_batch(root, "b", 3, first=50)
    scorer = Counted()
    done = labelled(root, scorer, ["a", "b"])
    assert (done["counted a"].calls, done["counted b"].calls) == (0, 3)
    assert sorted(scorer.calls) == ["b/50", "b/51", "b/52"]


def test_rows_that_failed_in_passing_are_asked_again_and_no_others(root: DataRoot) -> None:
    scorer = Counted()
    scorer.raises = lambda item: MemoryError() if item.id in ("a/2", "a/8") else None
    labelled(root, scorer)
    again = Counted()
    assert labelled(root, again)["counted"].reasons == ["failed"] and sorted(again.calls) == ["a/2", "a/8"]
    assert set(states(root, "score_counted").values()) == {State.OK}


def test_a_scorer_that_fails_on_every_row_is_named_and_costs_only_its_column(root: DataRoot) -> None:
    bad = Counted("bad")
    bad.raises = lambda item: RuntimeError("no such word")
    done = labelled(root, joined(bad, Counted()))
    assert done["bad"].failure is not None
    assert done["bad"].failure.startswith("ScorerBroken: bad failed on each of 10 rows: RuntimeError: no such word")
    assert done["counted"].failure is None and set(states(root, "score_bad").values()) == {None}


def test_a_scorer_whose_model_cannot_be_loaded_costs_only_its_column(root: DataRoot) -> None:
    bad = Counted("bad")
    bad.broken = OSError("no model there")
    done = labelled(root, joined(bad, Counted()))
    assert (done["bad"].failure, done["bad"].calls) == ("OSError: no model there", 0)
    assert (done["counted"].failure, done["counted"].calls) == (None, 10)


def test_a_batch_that_is_not_there_has_nothing_stale(root: DataRoot) -> None:
    done = labelled(root, Counted(), ["a", "nowhere"])
    assert (done["counted nowhere"].calls, done["counted nowhere"].failure) == (0, None)


def test_a_scorer_of_a_column_comes_after_it_in_one_pass(root: DataRoot) -> None:
    for given in (joined(Plus(), Counted()), joined(Plus(), Counted(version="2"))):
        done = labelled(root, given)
        assert [(done[name].calls, done[name].failure) for name in ("counted", "plus")] == [(10, None)] * 2
        assert set(values(root, "score_plus").values()) == {20.0}
    assert verify(root, deep=True).clean


def test_a_bumped_scorer_makes_the_columns_behind_it_stale(root: DataRoot) -> None:
    labelled(root, joined(Plus(), Counted()))
    done = labelled(root, joined(Plus(), Counted(version="2")))
    assert (done["counted"].reasons, done["plus"].reasons) == (["version"], ["config"])
    assert labelled(root, joined(Plus(), Counted(version="2")))["plus"].calls == 0


def test_a_scorer_of_a_stale_column_waits_instead_of_claiming_to_be_made_from_the_new_one(root: DataRoot) -> None:
    labelled(root, joined(Plus(), Counted()))
    before = cells(root, "score_plus")
    made = joined(Plus(), Counted(version="2"))
    alone = labelled(root, {"plus": made["plus"]})["plus"]
    assert alone.failure == "UpstreamStale: plus reads score_counted, which is stale in a: label it first"
    assert alone.calls == 0 and cells(root, "score_plus") == before
    assert labelled(root, made)["plus"].failure is None
    assert labelled(root, {"plus": made["plus"]})["plus"].calls == 0


def test_a_row_without_a_value_upstream_waits_for_it(root: DataRoot) -> None:
    upstream = Counted()
    upstream.raises = lambda item: MemoryError() if item.id == "a/2" else None
    done = labelled(root, joined(Plus(), upstream))
    assert (done["plus"].states["ok"], done["plus"].states["failed_transient"]) == (9, 1)
    assert done["plus"].message == "score_counted has no value yet"
    done = labelled(root, joined(Plus(), Counted()))
    assert (done["counted"].calls, done["plus"].calls) == (1, 1) and cells(root, "score_plus")["a/2"] == (20.0, 0)


def test_a_column_that_nobody_made_yet_is_waited_for(root: DataRoot) -> None:
    made = joined(Plus(), Counted())
    alone = labelled(root, {"plus": made["plus"]})["plus"]
    assert (alone.states["failed_transient"], alone.failure) == (10, None)
    assert alone.message == "score_counted has no value yet"
    assert labelled(root, made)["plus"].states["ok"] == 10


def test_a_scorer_is_loaded_once_for_all_fragments_and_anew_when_it_moved(root: DataRoot) -> None:
    add_batch(root, "b", 4, first=50)
    scorer = Counted("loaded_once")
    labelled(root, scorer, ["a", "b"])
    assert (scorer.loads, len(scorer.calls)) == (1, 14)
    moved = Counted("loaded_once", version="2")
    labelled(root, moved)
    assert (moved.loads, len(moved.calls)) == (1, 10)


def test_every_column_can_have_a_type_of_its_own(root: DataRoot) -> None:
    class Words(Counted):
        type = pa.list_(pa.string())

        def score(self, items: Sequence[Item]) -> list[list[str]]:
            return [item.caption.split() for item in items]

    labelled(root, joined(Words("words_said"), Counted()))
    assert cells(root, "score_words_said")["a/3"] == (["Picture", "3."], 0)
