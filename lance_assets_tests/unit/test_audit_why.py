"""`audit row --why`, held against what `pin` does with every row, and the checkpoints that saw a row."""

from dataclasses import replace

import pytest

from lance_assets.audit.row import audit_row, words
from lance_assets.audit.trained import Trained
from lance_assets.audit.why import audit_why, why_words
from lance_assets.errors import BadInput
from lance_assets.store.columns import CellState
from lance_assets.store.compact import compact
from lance_assets.store.files import DataRoot
from lance_assets.store.provenance import find
from lance_assets.store.selected import clauses, explain_selection
from lance_assets.store.selection import Groups, pin
from lance_assets.store.table import open_images
from lance_assets_tests.histories import BATCH, FAILS, failing, store
from lance_assets_tests.labels import SHARP, Labeller
from lance_assets_tests.lookalikes import LOOKS, Looker, sides
from lance_assets_tests.tables import image_rows

SHARE = 0.4


@pytest.fixture
def root(tmp_path):
    """Ten rows of which one failed in passing."""
    place = DataRoot(tmp_path / "data")
    store(place, image_rows(BATCH, 10), "download")
    Labeller(place, cells=failing({FAILS}))(BATCH, SHARP, run_id="first")
    return place


def why(root, id, chosen, groups=None, identities=(SHARP,)):
    return audit_why(root, audit_row(root, id), chosen, SHARE, groups, identities)


def value(root, id):
    return audit_row(root, id)["scores"][SHARP.column]["value"]


@pytest.mark.parametrize("chosen", [None, "score_sharp >= 50", "width BETWEEN 1 AND 40 AND score_sharp < 60"])
def test_every_row_is_where_pin_puts_it(root, chosen):
    manifest = pin(root, chosen, SHARE, [SHARP.column])
    pinned, said = sides(root, manifest), {"train": "train", "test": "held_out"}
    for id in (f"{BATCH}/{number}" for number in range(10)):
        found = why(root, id, chosen)
        assert found["outcome"] == said.get(pinned.get(id, ""), "filtered")
        assert found["pinned"]["side"] == pinned.get(id) and found["pinned"]["tag"] == manifest["tag"]


def test_every_outcome_of_duplicates_is_where_pin_puts_it(tmp_path):
    looker = Looker(DataRoot(tmp_path / "data"), tmp_path / "cache")
    looker.store("a", [0, 1, 0, LOOKS + 3, LOOKS + 9])  # the last two lie on different sides
    looker("a")
    looker.store("b", [LOOKS + 6, 2 * LOOKS])  # the first is like both
    looker("b")
    looker.store("c", [3 * LOOKS])
    for drop in (False, True):
        groups = Groups(looker.scorer.by, drop)
        manifest = pin(looker.root, None, SHARE, [], groups)
        dataset, pinned = open_images(looker.root), sides(looker.root, manifest)
        outcomes = {}
        for id in [*(f"a/{n}" for n in range(5)), "b/0", "b/1", "c/0"]:
            found = explain_selection(looker.root, dataset, find(dataset, id)[0], None, SHARE, groups)
            assert {"train": "train", "held_out": "test"}.get(found.outcome) == pinned.get(id)
            outcomes.setdefault(found.outcome, []).append(id)
        excluded = {reason: len(outcomes.get(reason, ())) for reason in manifest["excluded"]}
        assert excluded == manifest["excluded"] and outcomes["not_grouped"] == ["c/0"]
        assert bool(outcomes.get("duplicates")) == drop and ("b/0" in outcomes.get("bridges_split", ())) != drop


def test_a_duplicate_and_a_row_that_was_not_compared_name_the_reason(tmp_path):
    looker = Looker(DataRoot(tmp_path / "data"), tmp_path / "cache")
    looker.store("a", [0, 0, 3])
    looker("a")
    looker.store("b", [LOOKS])
    groups = Groups(looker.scorer.by, drop=True)

    def because(id):
        return audit_why(looker.root, audit_row(looker.root, id), None, SHARE, groups, [])["because"]

    assert because("a/1") == ["row a/0 came first, the same bytes"]
    assert because("a/2") == ["row a/0 came first, 3 bits of 256 apart"]
    assert because("b/0") == ["score_duplicate is empty"]


def test_each_clause_tells_its_values_and_a_failed_score_its_message(root):
    found = why(root, FAILS, "score_sharp >= 0 AND format = 'JPEG'")
    assert [(one["text"], one["holds"]) for one in found["clauses"]] == [
        ("NOT is_placeholder", True),
        ("score_sharp >= 0", None),
        ("format = 'JPEG'", True),
    ]
    assert found["outcome"] == "filtered"
    assert found["because"] == ["score_sharp >= 0 is NULL: score_sharp is - (failed_transient)"]
    assert found["scores"][SHARP.column]["state"] == CellState.FAILED_TRANSIENT.name.lower()
    assert "failed in passing" in found["scores"][SHARP.column]["stale"]
    said = "\n".join(why_words(found))
    assert "not selected" in said and "STALE      score_sharp" in said and "format JPEG" in said


def test_a_stale_score_names_what_made_it_and_what_the_scorer_is_now(root):
    id = f"{BATCH}/0"
    newer = why(root, id, "score_sharp >= 0", identities=[replace(SHARP, version="2")])
    assert newer["scores"][SHARP.column]["stale"] == "version 1 made it, the scorer is at version 2"
    other = why(root, id, "score_sharp >= 0", identities=[replace(SHARP, config_hash="beef")])
    assert other["scores"][SHARP.column]["stale"] == "config c0ffee made it, the scorer has beef"
    assert why(root, id, "score_sharp >= 0")["scores"][SHARP.column]["stale"] is None
    assert "no scorer sharp" in why(root, id, "score_sharp >= 0", identities=[])["scores"][SHARP.column]["stale"]


def test_a_placeholder_is_left_out_unless_the_filter_speaks_of_it(tmp_path):
    root = DataRoot(tmp_path / "data")
    rows = [row | {"is_placeholder": True} for row in image_rows("a", 3).to_pylist()]
    store(root, type(image_rows("a", 1)).from_pylist(rows, schema=image_rows("a", 1).schema), "download", 1)
    left_out = why(root, "a/0", None)
    assert left_out["because"] == ["NOT is_placeholder does not hold: is_placeholder is true"]
    assert why(root, "a/0", "is_placeholder OR width > 0")["outcome"] in ("train", "held_out")


def test_a_filter_that_cannot_be_used_is_bad_input(root):
    with pytest.raises(BadInput, match=r"sft.filter 'score_nope > 1' cannot be used"):
        why(root, FAILS, "score_nope > 1")


@pytest.mark.parametrize(
    ("chosen", "parts"),
    [
        (None, []),
        ("a > 1", ["a > 1"]),
        ("a > 1 AND b = 'x AND y' and (c OR d AND e)", ["a > 1", "b = 'x AND y'", "(c OR d AND e)"]),
        ("a BETWEEN 1 AND 2 AND b", ["a BETWEEN 1 AND 2", "b"]),
        ("a AND b OR c", ["a AND b OR c"]),
        ("CASE WHEN a AND b THEN c END = 1 AND d", ["CASE WHEN a AND b THEN c END = 1", "d"]),
        ('`a AND b` = 1 AND "c OR d" = 2', ["`a AND b` = 1", '"c OR d" = 2']),
    ],
)
def test_a_filter_is_told_clause_by_clause(chosen, parts):
    assert clauses(chosen) == parts


def test_a_row_names_the_checkpoints_that_saw_it_also_after_it_changed_its_place(root):
    manifest = pin(root, "score_sharp >= 0", SHARE, [SHARP.column])
    seen = Trained("checkpoints/one/model", manifest)
    pinned = sides(root, manifest)
    Labeller(root)(BATCH, replace(SHARP, version="2"))
    compact(root)
    for id in (f"{BATCH}/{number}" for number in range(10)):
        found = audit_row(root, id, [seen])["checkpoints"]
        assert [one["side"] for one in found] == ([pinned[id]] if id in pinned else [])
    trained = next(id for id, side in pinned.items() if side == "train")
    assert "trained    checkpoints/one/model" in "\n".join(words(audit_row(root, trained, [seen])))


def test_a_checkpoint_whose_version_is_gone_is_told_and_not_guessed(root):
    manifest = {**pin(root, None, SHARE, [SHARP.column]), "version": 999}
    other = {**manifest, "uri": "/elsewhere/images.lance", "tag": "sft-other"}
    found = audit_row(root, FAILS, [Trained("one", manifest), Trained("two", other)])["checkpoints"]
    assert [one["side"] for one in found] == [None, None]
    assert "version 999" in found[0]["unknown"] and "/elsewhere" in found[1]["unknown"]
    [damaged] = audit_row(root, FAILS, [Trained("three", None, "it is not JSON")])["checkpoints"]
    assert damaged["unknown"] == "it is not JSON"
    assert "whether one saw it" in "\n".join(words(audit_row(root, FAILS, [Trained("one", manifest)])))
