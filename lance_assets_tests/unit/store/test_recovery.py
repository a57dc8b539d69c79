"""A pass that is killed between announcing and publishing loses nothing: the next one publishes what was announced,
unless it would not be what it would make itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from lance_assets.store.files import DataRoot, delete, read, write
from lance_assets.store.intents import Part
from lance_assets.store.labelling import label_batch
from lance_assets.store.staging import publish
from lance_assets.store.staleness import Identity
from lance_assets.store.table import open_images
from lance_assets.store.verify import verify
from lance_assets_tests.labels import SHARP, WORDS, Labeller
from lance_assets_tests.unit.store import scenes
from lance_assets_tests.unit.store.scenes import PERMANENT, TRANSIENT, Row, numbered

SCORE = SHARP.column


class Killed(BaseException):
    """What a pass does not live to see."""


def killed(labeller: Labeller, *identities: Identity) -> None:
    """A pass over batch a that ends when everything is announced and nothing published."""

    def accept(column: str, parts: Sequence[Part]) -> None:
        raise Killed

    with pytest.raises(Killed):
        label_batch(labeller.root, "a", identities, "killed", labeller.jobs(identities), accept)


@pytest.fixture
def labeller(root: DataRoot) -> Labeller:
    """After a killed pass over ten rows in fragments 0 and 1."""
    scenes.store(root, "a", numbered(5), numbered(5, first=5))
    labeller = Labeller(root)
    killed(labeller, SHARP)
    assert set(scenes.states(root, SCORE).values()) == {None}
    labeller.calls.clear()
    return labeller


def announced(root: DataRoot) -> list[str]:
    """Files below data/ that no fragment refers to."""
    used = {file for _, files in scenes.fragments(root) for file in files}
    return [name for path in scenes.data_files(root) if (name := path.rpartition("/")[2]) not in used]


def is_right(labeller: Labeller, identity: Identity = SHARP) -> bool:
    right = scenes.right(labeller.root, identity)[identity.column]
    return scenes.values(labeller.root, identity.column) == right and verify(labeller.root, deep=True).clean


def test_what_was_announced_is_published_without_a_call(labeller):
    [outcome] = labeller("a", SHARP)
    assert labeller.rows == outcome.calls == 0 and sum(cell.rows for cell in outcome.stale) == 10
    assert is_right(labeller) and announced(labeller.root) == []
    assert scenes.reasons(labeller.root, "a", SHARP) == []


def test_a_pass_that_is_killed_again_and_again_calls_no_more_than_once(labeller):
    for _ in range(3):
        killed(labeller, SHARP)
    labeller("a", SHARP)
    assert labeller.rows == 0 and is_right(labeller)


def test_what_was_announced_is_published_together_with_what_is_new(labeller):
    killed(labeller, SHARP, WORDS)
    assert {column for column, _, _ in labeller.calls} == {WORDS.column}
    labeller("a", SHARP, WORDS)
    assert labeller.rows == 10 and is_right(labeller) and is_right(labeller, WORDS)


@pytest.mark.parametrize("now", [replace(SHARP, version="2"), replace(SHARP, config_hash="beef")])
def test_what_another_version_or_config_announced_is_not_used(labeller, now):
    labeller("a", now)
    assert labeller.rows == 10 and is_right(labeller, now)
    labeller("a", SHARP)
    assert labeller.rows == 20 and is_right(labeller), "what was planned before the newer values is out of date"


def test_what_was_announced_before_somebody_published_is_not_used(labeller):
    publish(labeller.root, [scenes.staged(labeller.root, 0, SCORE, 7.0)], {})
    labeller("a", SHARP)
    assert labeller.calls == [(SCORE, 0, 5)] and is_right(labeller)


def test_a_batch_that_was_replaced_meanwhile_is_scored_again(labeller):
    scenes.store(labeller.root, "a", [Row(0, image=50), *numbered(4, first=1)], numbered(5, first=5))
    labeller("a", SHARP)
    assert labeller.calls == [(SCORE, 2, 5)] and is_right(labeller)


def test_rows_that_are_not_what_they_were_are_scored_again(labeller):
    """Lance sees no conflict where somebody changes what a label was computed from."""
    open_images(labeller.root).delete("id = 'a/3'")
    labeller("a", SHARP)
    assert labeller.calls == [(SCORE, 0, 4)] and is_right(labeller)


@pytest.mark.parametrize("damage", ["gone", "cut short", "another file"])
def test_an_announced_file_that_is_not_what_was_announced_is_written_again(labeller, damage):
    root = labeller.root
    one, other = (f"images.lance/data/{name}" for name in announced(root))
    if damage == "gone":
        delete(root, one)
    else:
        write(root, one, read(root, other) if damage == "another file" else read(root, one)[:-100])
    labeller("a", SHARP)
    assert labeller.rows == 5 and is_right(labeller)


def test_force_uses_nothing_that_was_announced(labeller):
    labeller("a", SHARP, force=True)
    assert labeller.rows == 10 and is_right(labeller)


def test_a_retry_of_single_rows_that_was_killed_is_published_without_a_call(labeller):
    labeller.cells = scenes.scoring({"a/1": TRANSIENT, "a/8": TRANSIENT})
    labeller("a", SHARP, force=True)
    labeller.cells = None
    killed(labeller, SHARP)
    assert labeller.rows == 12
    labeller("a", SHARP)
    assert labeller.rows == 12 and is_right(labeller)


def test_a_column_of_which_every_row_failed_for_good_is_scored_again(labeller):
    """That is a fault of the scorer, which somebody may have mended without giving it a new version."""
    newer = replace(SHARP, version="2")
    labeller.cells = scenes.scoring({f"a/{n}": PERMANENT for n in range(10)})
    killed(labeller, newer)
    labeller.cells = None
    labeller("a", newer)
    assert labeller.rows == 20 and is_right(labeller, newer)


def test_a_fragment_of_which_some_rows_failed_for_good_is_not_scored_again(labeller):
    newer = replace(SHARP, version="2")
    labeller.cells = scenes.scoring({f"a/{n}": PERMANENT for n in range(4)})
    killed(labeller, newer)
    labeller("a", newer)
    assert labeller.rows == 10
    assert [row for row, state in scenes.states(labeller.root, SCORE).items() if state == PERMANENT] == [
        f"a/{n}" for n in range(4)
    ]
