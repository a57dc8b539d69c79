"""`lance-assets bench screen`: what the tiny model reads of game screens that it never saw, after at most ten minutes.

Trained by the recipe `tiny-screen` on frames of one seed, as the platform trains: LLaMA-Factory reads them from Lance.
Asked about frames of another seed, so of other worlds and episodes; held against its own answers when it is shown
another row's image.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lance_assets.training.facts import DEMO
from lance_assets.training.launch import prepare, task_environment
from lance_assets.training.recipe import load_recipe
from lance_assets.training.tiny import build_tiny
from lance_assets_tests.bench import screen_data
from lance_assets_tests.bench.processes import spent_by
from lance_assets_tests.bench.report import Goal, Report, Value
from lance_assets_tests.bench.sizes import Say

LIMIT_S = 1_800
MINUTES = 10
#: Shares of held-out frames with the fact right that the project wants; and so much more than with another image.
WANTED: Mapping[str, tuple[Sequence[str], float]] = {
    "light": (("light",), 0.92),
    "ground": (("ground",), 0.88),
    "facing": (("facing",), 0.72),
    "numbers": (("health", "food", "energy"), 0.65),
}
BEYOND = 0.25


@dataclass(frozen=True)
class Sizes:
    """Frames to train on and to be asked about, and keys of the recipe that are replaced."""

    train: int
    test: int
    recipe: Mapping[str, Any]


FULL = Sizes(train=1_500, test=200, recipe={})
QUICK = Sizes(train=32, test=8, recipe={"max_steps": 2, "save_steps": 1})


def run(quick: bool, say: Say) -> Report:
    """In a temporary folder (TMPDIR says where), which it deletes."""
    sizes = QUICK if quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        say(f"{sizes.train} + {sizes.test} frames are played")
        manifest, captions = screen_data.write(place / "lance", sizes.train, sizes.test)
        base = build_tiny(place / "tiny", captions[:500])
        # every saved model is asked, not only the last
        recipe = load_recipe("tiny-screen", {**sizes.recipe, "save_total_limit": None})
        (place / "train.json").write_text(json.dumps(prepare(manifest, recipe, base, place)))
        (place / "manifest.json").write_text(json.dumps(manifest))
        say(f"{recipe['max_steps']} steps of {recipe['per_device_train_batch_size']}")
        trained = _task("train", place)
        say(f"trained in {trained['seconds']:.0f} s, start included; the saved models are asked")
        asked = _task("ask", place)
    title = (
        f"{'QUICK: ' if quick else ''}Share of {sizes.test} unseen frames with the fact right; "
        f"{recipe['max_steps']} steps on {sizes.train} frames took {trained['seconds']:.0f} s, start included."
    )
    return Report(title, _rows(asked, trained["curve"]), _goals(asked["facts"], trained["seconds"]))


def _task(what: str, place: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "lance_assets_tests.bench.screen_task", what, str(place)]
    spent_by(command, place / f"{what}.log", task_environment(), LIMIT_S)
    return json.loads((place / f"{what}ed.json").read_text())


def _rows(asked: Mapping[str, Any], curve: Sequence[Mapping[str, float]]) -> list[dict[str, Value]]:
    """One for each saved model, and the last with another row's image."""
    rows: list[dict[str, Value]] = []
    for step, right in asked["steps"].items():
        losses = [line["loss"] for line in curve if line["step"] <= int(step)]
        said = {"training_loss": losses[-1] if losses else None, "loss_on_unseen": asked["losses"][step]}
        rows.append({"what": "own image", "case": f"step {step}", **said, **right})
    other = {name: score["other"] for name, score in asked["facts"].items()}
    majority = {name: score["majority"] for name, score in asked["facts"].items()}
    rows.append({"what": "another row's image", "case": "last step", **other})
    rows.append({"what": "always the commonest", "case": "", **majority})
    return rows


def _goals(facts: Mapping[str, Mapping[str, float]], seconds: float) -> list[Goal]:
    """Wrong shares, since a goal is met from below."""
    goals = [Goal("minutes_of_training", seconds / 60, MINUTES)]
    for name, (parts, least) in WANTED.items():
        right, other = (sum(facts[part][kind] for part in parts) / len(parts) for kind in ("tuned", "other"))
        goals.append(Goal(f"{name}_wrong", 1 - right, 1 - least))
        goals.append(Goal(f"{name}_right_with_another_image_and_25_points", other + BEYOND, right))
    return goals


#: What is asked: the facts of the demo, and which way the player looks.
FACTS = {**DEMO, "direction": r"\bfacing (\w+) towards"}
