"""Entries of platform.yaml as scorers: which come by themselves, one name for one column, settings by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from lance_assets.errors import BadInput
from lance_assets.scoring.registry import DEFAULT, Entry, configured
from lance_assets_tests.unit.homes import CLASS, PLAIN, home


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return home(tmp_path, entries_mine=CLASS.replace("{version}", "1").replace("{sign}", "") + PLAIN)


def test_the_default_scorers_stay_where_all_entries_are_somebodys_own(folder: Path) -> None:
    assert list(configured(None)) == list(configured([])) == list(DEFAULT)
    mine = Entry("mine", "entries_mine:words")
    assert list(configured([mine], folder)) == [*DEFAULT, "mine"]
    assert list(configured([mine, Entry("sharpness")], folder)) == ["mine", "sharpness"]


def test_somebodys_own_scorer_may_take_the_place_of_a_default_one(folder: Path) -> None:
    found = configured([Entry("sharpness", "entries_mine:words")], folder)
    assert sorted(found) == sorted(DEFAULT) and type(found["sharpness"]).__module__ == "entries_mine"


@pytest.mark.parametrize(
    "entries",
    [
        [Entry("mine", "entries_mine:words"), Entry("mine", "entries_mine:Letters")],
        [Entry("sharpness"), Entry("sharpness", config={"half": 3}), Entry("exposure")],
    ],
)
def test_two_entries_of_one_name_are_refused_by_name(folder: Path, entries: list[Entry]) -> None:
    with pytest.raises(BadInput, match=rf"^{entries[0].name}: two scorers of one name cannot share a column"):
        configured(entries, folder)


def test_two_entries_of_one_class_are_two_columns(folder: Path) -> None:
    once, twice = Entry("once", "entries_mine:Letters"), Entry("twice", "entries_mine:Letters", config={"factor": 2})
    found = configured([once, twice], folder)
    assert [found[name].name for name in ("once", "twice")] == ["once", "twice"]
    assert type(found["once"]) is type(found["twice"]) and type(found["once"]).name == "letters"
    assert found["once"].config_hash() != found["twice"].config_hash()


def test_defaults_are_for_built_in_scorers_and_an_entry_has_the_last_word(folder: Path) -> None:
    told = {"sharpness": {"half": 3, "size": 64}, "exposure": {}}
    found = configured([Entry("sharpness", config={"half": 4})], folder, told)["sharpness"]
    assert found.config.model_dump() == {"half": 4, "size": 64}
    mine = configured([Entry("sharpness", "entries_mine:words")], folder, told)["sharpness"]
    assert mine.config.model_dump() == {}


def test_an_unknown_name_is_named_with_what_there_is() -> None:
    with pytest.raises(BadInput, match="there is no scorer 'sharp'; there are: sharpness, exposure"):
        configured([Entry("sharp")])
