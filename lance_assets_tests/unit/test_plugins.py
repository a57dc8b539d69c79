"""Scorers of one's own: files of the home, named in platform.yaml as `module:attribute`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from lance_assets.errors import BadInput
from lance_assets.scoring.api import Item, Scorer
from lance_assets.scoring.known import registered
from lance_assets.scoring.passes import score_items
from lance_assets.scoring.plugins import from_a_file
from lance_assets.scoring.registry import DEFAULT, Entry, configured
from lance_assets_tests.unit.homes import CLASS, DECORATED, PLAIN, home

MINE = CLASS.replace("{version}", "1").replace("{sign}", "")


@pytest.fixture(autouse=True)
def modules() -> Iterator[None]:
    """What a test imports is forgotten after it."""
    before, names = dict(sys.modules), dict(registered)
    yield
    for name in set(sys.modules) - set(before):
        if hasattr(sys.modules[name], "__lance_assets_sha256__"):
            del sys.modules[name]
    assert registered.keys() - DEFAULT == names.keys() - DEFAULT, "a file of a home made a name known to the process"


def made(entry: Entry, folder: Path) -> Scorer:
    """With the default ones before it."""
    found = configured([entry], folder)
    assert list(found) == [*DEFAULT, entry.name]
    return found[entry.name]


def value(scorer: Scorer, caption: str = "a b c") -> object:
    return score_items({scorer.name: scorer}, [Item("a", caption)])[scorer.name].values.to_pylist()[0]


def test_a_plain_function_of_a_file_is_a_scorer(tmp_path: Path) -> None:
    scorer = made(Entry("many", "mine:words"), home(tmp_path, mine=PLAIN))
    assert (scorer.name, scorer.version, scorer.description) == ("many", "1", "Words of the caption.")
    assert value(scorer) == 3.0 and scorer.type == pa.float32()


def test_a_decorated_function_has_a_type_and_a_config(tmp_path: Path) -> None:
    folder = home(tmp_path, mine=DECORATED.format(version="7", name="x"))
    scorer = made(Entry("long", "mine:long_enough", config={"least": 4}), folder)
    assert (scorer.name, scorer.version, scorer.type, value(scorer)) == ("long", "7", pa.bool_(), False)
    assert value(made(Entry("long", "mine:long_enough"), folder)) is True


def test_a_class_has_its_version_and_serving_replaced_by_the_entry(tmp_path: Path) -> None:
    folder = home(tmp_path, mine=MINE)
    scorer = made(Entry("letters", "mine:Letters", version="2b", served={"max_replicas": 3}), folder)
    assert scorer.version == "2b" and scorer.served is not None
    assert (scorer.served.max_replicas, scorer.served.batch_rows) == (3, 8), "what the entry leaves out stays"
    assert type(scorer).version == "1" and made(Entry("letters", "mine:Letters"), folder).version == "1"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (Entry("mine", "mine:Letters", config={"facter": 2}), r"scorer mine: facter: .*its settings are: factor"),
        (Entry("mine", "mine:Letters", config={"factor": "x"}), r"scorer mine: factor: .*number"),
        (Entry("mine", "mine:Letters", served={"replicas": 2}), r"scorer mine: served\.replicas: "),
        (Entry("mine", "mine:words", served={"cpus": 1}), r"scorer mine: served: .*is not served"),
        (Entry("mine", "mine:words", config={"least": 1}), r"scorer mine: least: .*its settings are: none"),
        (Entry("Mine", "mine:words"), r"'Mine' of mine cannot name a column"),
        (Entry("mine__state", "mine:words"), r"'mine__state' of mine cannot name a column: __state is how"),
        (Entry("mine", "mine"), r"'mine' names no scorer: it must be module:attribute"),
        (Entry("mine", ":words"), r"':words' names no scorer"),
        (Entry("mine", "../mine:words"), r"'../mine:words' names no scorer"),
        (Entry("mine", "mine:nothing"), r"mine:nothing: .*mine\.py has no nothing"),
        (Entry("mine", "mine:NUMBER"), r"mine:NUMBER is no scorer: neither a class made from Scorer nor a function"),
        (Entry("mine", "mine:Other"), r"mine:Other is no scorer"),
        (Entry("mine", "mine:Half"), r"the scorer mine cannot be made: TypeError: .*abstract"),
        (Entry("mine", "mine:Loud"), r"the scorer mine cannot be made: RuntimeError: not today"),
        (Entry("mine", "mine:Nameless"), r"the scorer mine of mine does not say its version"),
        (Entry("mine", "mine:two"), r"mine\.two cannot score: it must take an item"),
        (Entry("mine", "mine:Odd"), r"the scorer mine reads pixels; scorers can read image"),
        (Entry("mine", "other:words"), r"the module other \(no file other\.py in .* either\) cannot be loaded: "),
        (Entry("mine", "broken:words"), r"broken\.py cannot be loaded: SyntaxError: "),
        (Entry("mine", "raises:words"), r"raises\.py cannot be loaded: ValueError: first$"),
        (Entry("mine", "leaves:words"), r"leaves\.py cannot be loaded: SystemExit: 3"),
        (Entry("mine", "needs:words"), r"needs\.py cannot be loaded: ModuleNotFoundError: .*'no_such_package'"),
        (Entry("mine", "wave:words"), r"wave\.py cannot be loaded: ImportError: there is an installed module wave"),
        (Entry("mine", "time:words"), r"time\.py cannot be loaded: ImportError: there is an installed module time"),
        (Entry("mine", "json:words"), r"json\.py cannot be loaded: ImportError: there is an installed module json"),
        (Entry("mine", "pyarrow:words"), r"installed module pyarrow: give the file another name"),
        (Entry("mine", "lance_assets.own:words"), r"there is an installed module lance_assets\.own"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_sentence(tmp_path: Path, entry: Entry, said: str) -> None:
    text = f"""{MINE}{PLAIN}
NUMBER = 3
class Other: ...
class Half(RowScorer): version, fields, description = "1", (), ""
class Odd(Letters): fields = ("pixels",)
class Nameless(RowScorer):
    def score_one(self, item): return 1
class Loud(Letters):
    def __init__(self, config=None): raise RuntimeError("not today")
def two(item, other): return 1
"""
    others = {"broken": "def", "raises": "raise ValueError('first\\nsecond')", "leaves": "raise SystemExit(3)"}
    folder = home(
        tmp_path, mine=text, needs="import no_such_package", wave=PLAIN, json=PLAIN, time=PLAIN, pyarrow=PLAIN, **others
    )
    home(tmp_path / "lance_assets", own=PLAIN)
    with pytest.raises(BadInput, match=said) as caught:
        configured([entry], folder)
    assert "\n" not in str(caught.value)


def test_a_changed_file_is_loaded_anew_even_within_the_same_second(tmp_path: Path) -> None:
    folder = home(tmp_path, mine=MINE)
    before = made(Entry("letters", "mine:Letters"), folder)
    assert type(made(Entry("letters", "mine:Letters"), folder)) is type(before), "an unchanged file is loaded once"
    home(tmp_path, mine=CLASS.replace("{version}", "2").replace("{sign}", ""))
    after = made(Entry("letters", "mine:Letters"), folder)
    assert (before.version, after.version) == ("1", "2")
    assert not (folder / "__pycache__").exists()


def test_a_file_that_breaks_and_is_mended_works_again(tmp_path: Path) -> None:
    folder = home(tmp_path, mine=PLAIN)
    made(Entry("many", "mine:words"), folder)
    home(tmp_path, mine="def")
    with pytest.raises(BadInput, match="SyntaxError"):
        made(Entry("many", "mine:words"), folder)
    home(tmp_path, mine=PLAIN)
    assert value(made(Entry("many", "mine:words"), folder)) == 3


def test_two_homes_with_a_module_of_the_same_name_have_their_own_scorers(tmp_path: Path) -> None:
    one = home(tmp_path / "one", mine=MINE)
    other = home(tmp_path / "two", mine=CLASS.replace("{version}", "1").replace("{sign}", "-"))
    entry = Entry("letters", "mine:Letters")
    first, second, again = made(entry, one), made(entry, other), made(entry, one)
    assert [value(scorer) for scorer in (first, second, again)] == [5, -5, 5]


def test_homes_may_use_one_name_for_scorers_of_different_files(tmp_path: Path) -> None:
    one = home(tmp_path / "one", mine=DECORATED.format(version="1", name="x"))
    other = home(tmp_path / "two", yours=DECORATED.format(version="2", name="x"))
    assert made(Entry("long", "mine:long_enough"), one).version == "1"
    assert made(Entry("long", "yours:long_enough"), other).version == "2"
    with pytest.raises(BadInput, match="no scorer 'long_x'"):
        configured([Entry("long_x")], one)


def test_a_file_in_a_folder_of_the_home_is_named_with_dots(tmp_path: Path) -> None:
    home(tmp_path / "scorers", mine=PLAIN)
    scorer = made(Entry("many", "scorers.mine:words"), tmp_path)
    assert value(scorer) == 3
    module = from_a_file(scorer)
    assert module is not None and module.__name__ == "scorers.mine"


def test_a_home_may_be_named_from_the_folder_above_and_lie_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home(tmp_path / "own", mine_here=PLAIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "own")
    first, second = (made(Entry("many", "mine_here:words"), Path("own")) for _ in range(2))
    assert value(first) == 3 and from_a_file(first) is from_a_file(second)


def test_an_installed_module_is_used_where_the_home_has_no_file(tmp_path: Path) -> None:
    scorer = made(Entry("sharp", "lance_assets.scoring.sharpness:Sharpness", config={"half": 3}), tmp_path)
    assert scorer.config.model_dump()["half"] == 3 and from_a_file(scorer) is None
