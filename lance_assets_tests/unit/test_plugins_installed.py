"""Scorers of installed packages: a real distribution with entry points, found without an import."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lance_assets.errors import BadInput
from lance_assets.scoring.plugins import advertised, from_a_file
from lance_assets.scoring.registry import DEFAULT, Entry, configured
from lance_assets_tests.unit.homes import DECORATED, PLAIN, home

MODULE = "lance_assets_test_distribution"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path as pip leaves it, with a distribution of two scorers and a broken one."""
    folder = home(tmp_path / "site", **{MODULE: DECORATED.format(version="5", name="installed") + PLAIN})
    told = folder / "throw_away-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: throw-away\nVersion: 1.0\n")
    points(folder, f"long_installed = {MODULE}:long_enough", f"plain_words = {MODULE}:words")
    monkeypatch.syspath_prepend(folder)
    advertised.cache_clear()
    yield folder
    sys.modules.pop(MODULE, None)
    advertised.cache_clear()


def points(folder: Path, *lines: str) -> None:
    text = "\n".join(["[lance_assets.scorers]", *lines, ""])
    (folder / "throw_away-1.0.dist-info" / "entry_points.txt").write_text(text)
    advertised.cache_clear()


def test_scorers_of_installed_packages_are_listed_without_an_import(site: Path) -> None:
    assert {"long_installed", "plain_words"} <= set(advertised())
    assert MODULE not in sys.modules


def test_a_platform_without_entries_has_them_after_the_default_ones(site: Path) -> None:
    found = configured(None)
    assert list(found) == [*DEFAULT, "long_installed", "plain_words"]
    assert (found["long_installed"].version, found["plain_words"].version) == ("5", "1")
    assert from_a_file(found["plain_words"]) is None, "workers import it themselves"


def test_an_entry_chooses_and_configures_one_by_name(site: Path) -> None:
    [(name, scorer)] = configured([Entry("long_installed", config={"least": 9})]).items()
    assert (name, scorer.config.model_dump()) == ("long_installed", {"least": 9})
    with pytest.raises(BadInput, match=r"scorer long_installed: most: .*its settings are: least"):
        configured([Entry("long_installed", config={"most": 9})])


def test_one_that_cannot_be_loaded_is_named(site: Path) -> None:
    points(site, "gone = no_such_package:x", f"number = {MODULE}:Config")
    with pytest.raises(BadInput, match=r"the entry point gone \(no_such_package:x\) cannot be loaded: ModuleNotFound"):
        configured([Entry("gone")])
    with pytest.raises(BadInput, match=r"the entry point number .* is no scorer"):
        configured([Entry("number")])


def test_a_package_cannot_take_the_name_of_a_built_in_scorer(site: Path) -> None:
    points(site, f"sharpness = {MODULE}:words")
    assert type(configured(None)["sharpness"]).__module__ == "lance_assets.scoring.sharpness"
