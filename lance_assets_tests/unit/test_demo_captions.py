"""Captions say what is drawn, and spoilt ones say something else."""

from __future__ import annotations

import pytest

from lance_assets.sources.demo.captions import SPOILT_KINDS, describe, light_word, spoil

STATE = {
    "health": 9, "food": 7, "drink": 6, "energy": 9, "inventory": {"wood": 3}, "sleeping": False, "light": "day",
    "standing_on": "grass", "facing": "left", "facing_what": "tree", "creatures": [{"kind": "cow", "dx": 2, "dy": -1}],
    "terrain": {"grass": 55, "tree": 8},
}  # fmt: skip
EXAMPLE = (
    "The player stands on grass, facing left towards a tree. There is a cow above and to the right of the player. "
    "The view shows mostly grass with tree. It is daytime. Health 9, food 7, drink 6, energy 9. Inventory: 3 wood."
)


def test_the_example_of_the_design_is_met_to_the_letter():
    assert describe(STATE) == EXAMPLE


def test_a_sleeping_player_has_no_direction():
    assert describe({**STATE, "sleeping": True}).startswith("The player sleeps on grass. There is a cow")


def test_ores_tools_lava_and_an_empty_bag_are_named():
    state = {**STATE, "terrain": {"stone": 40, "coal": 2, "table": 1, "lava": 1}, "inventory": {}, "creatures": []}
    caption = describe(state)
    assert "The view shows mostly stone. In view: coal, a table. Danger: lava. It is daytime." in caption
    assert caption.endswith("Inventory: empty.")


@pytest.mark.parametrize(
    ("daylight", "word"),
    [(0.0, "night"), (0.2499, "night"), (0.25, "dusk"), (0.5999, "dusk"), (0.6, "day"), (1, "day")],
)
def test_light_has_three_words_with_fixed_borders(daylight, word):
    assert light_word(daylight) == word


@pytest.mark.parametrize("light", ["day", "dusk", "night"])
@pytest.mark.parametrize("kind", SPOILT_KINDS)
def test_a_spoilt_caption_differs_from_the_true_one(kind, light):
    caption = describe({**STATE, "light": light})
    assert spoil(caption, "another caption", kind) != caption


def test_each_kind_of_spoiling_does_what_it_says():
    spoilt = {kind: spoil(EXAMPLE, "another caption", kind) for kind in SPOILT_KINDS}
    assert "It is night." in spoilt["light"]
    assert "It is daytime." not in spoilt["light"]
    assert spoilt["lava"].startswith("The player stands on lava, facing left")
    assert "Health 3, food 7" in spoilt["number"]
    assert spoilt["swapped"] == "another caption"
    assert EXAMPLE.startswith(spoilt["cut"])
    assert len(spoilt["cut"]) < len(EXAMPLE) / 2
    assert spoilt["empty"] == ""
    assert spoilt["file_name"].startswith("IMG_")
