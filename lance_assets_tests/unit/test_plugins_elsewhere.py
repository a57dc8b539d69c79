"""A scorer whose code lies in the home works in a process that cannot import it, as on another machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ray.cloudpickle.cloudpickle import dumps, register_pickle_by_value

from lance_assets.scoring.api import Scorer
from lance_assets.scoring.plugins import from_a_file
from lance_assets.scoring.registry import Entry, configured
from lance_assets_tests.unit.homes import CLASS, DECORATED, PLAIN, home

USES = {"letters": "Letters", "many": "words", "long": "long_enough"}
ELSEWHERE = """
import pickle, sys
from lance_assets.scoring.api import Item
from lance_assets.scoring.passes import score_items
for _ in range(2):
    scorers = pickle.load(sys.stdin.buffer)
    assert "elsewhere_mine" not in sys.modules
    print([score_items({n: s}, [Item("a", "a b c")])[n].values.to_pylist() + [s.version] for n, s in scorers.items()])
"""


def pickled(scorers: dict[str, Scorer]) -> bytes:
    """As active_scorers and Ray do it."""
    for scorer in scorers.values():
        module = from_a_file(scorer)
        assert module is not None
        register_pickle_by_value(module)
    return dumps(scorers)


def test_scorers_of_a_file_travel_by_value_also_when_another_home_took_their_name(tmp_path: Path) -> None:
    text = CLASS.replace("{version}", "1").replace("{sign}", "") + PLAIN + DECORATED.format(version="3", name="x")
    folder = home(tmp_path / "home", elsewhere_mine=text)
    entries = [Entry(name, f"elsewhere_mine:{attribute}") for name, attribute in USES.items()]
    made = {name: one for name, one in configured(entries, folder).items() if name in USES}
    sent = pickled(made)
    configured([entries[1]], home(tmp_path / "other", elsewhere_mine=PLAIN))
    command = [sys.executable, "-c", ELSEWHERE]
    done = subprocess.run(command, input=sent + pickled(made), capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().splitlines() == ["[[5.0, '1'], [3.0, '1'], [True, '3']]"] * 2
