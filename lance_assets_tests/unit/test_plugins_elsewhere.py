"""A scorer whose code lies in the home works in a process that cannot import it, as on another machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ray import cloudpickle

from lance_assets.scoring.plugins import from_a_file
from lance_assets.scoring.registry import Entry, configured
from lance_assets_tests.unit.homes import CLASS, DECORATED, PLAIN, home

ELSEWHERE = """
import pickle, sys
from lance_assets.scoring.api import Item
from lance_assets.scoring.passes import score_items
scorers = pickle.load(sys.stdin.buffer)
assert "elsewhere_mine" not in sys.modules
print([score_items({n: s}, [Item("a", "a b c")])[n].values.to_pylist() + [s.version] for n, s in scorers.items()])
"""


@pytest.mark.parametrize("others", [False, True])
def test_a_scorer_of_a_file_travels_by_value(tmp_path: Path, others: bool) -> None:
    text = CLASS.replace("{version}", "1").replace("{sign}", "") + PLAIN + DECORATED.format(version="3", name="x")
    folder = home(tmp_path / "home", elsewhere_mine=text.replace("Config = Config", "Config = Config  # own"))
    text_of = {"letters": "Letters", "many": "words", "long": "long_enough"}
    entries = [Entry(name, f"elsewhere_mine:{attribute}") for name, attribute in text_of.items()]
    made = {name: one for name, one in configured(entries, folder).items() if name in text_of}
    if others:  # another home has a module of this name by now
        configured([Entry("many", "elsewhere_mine:words")], home(tmp_path / "other", elsewhere_mine=PLAIN))
    for scorer in made.values():
        module = from_a_file(scorer)
        assert module is not None
        cloudpickle.register_pickle_by_value(module)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], input=cloudpickle.dumps(made), capture_output=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().strip() == "[[5.0, '1'], [3.0, '1'], [True, '3']]"
