"""Captions that state only what is drawn, and the ways in which some are spoilt on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NIGHT_BELOW, DAY_FROM = 0.25, 0.6
LIGHT_SENTENCES = {"day": "It is daytime.", "dusk": "It is dusk.", "night": "It is night."}
COUNTED = ("tree", "table", "furnace", "diamond", "cow", "zombie", "skeleton", "plant", "fence")
"""Things that take an article; all others are named bare (grass, water, path ...)."""
SIGHTS = ("coal", "iron", "diamond", "table", "furnace")
CREATURES_NAMED = 3

SPOILT_KINDS = ("light", "lava", "number", "swapped", "cut", "empty", "file_name")
"""Ways to spoil a caption: wrong time of day, ground called lava, a number changed, the caption of another frame, cut
off in the middle, empty, a camera's file name."""


def light_word(daylight: float) -> str:
    """`night`, `dusk` or `day` for crafter's daylight in 0..1."""
    return "night" if daylight < NIGHT_BELOW else "dusk" if daylight < DAY_FROM else "day"


def describe(state: Mapping[str, Any]) -> str:
    """The caption of a state (see Game.state): where the player is, who and what is in view, light, numbers, goods."""
    ground = state["standing_on"]
    if state["sleeping"]:  # a sleeping player is drawn without a direction
        sentences = [f"The player sleeps on {ground}."]
    else:
        towards = _named(state["facing_what"])
        sentences = [f"The player stands on {ground}, facing {state['facing']} towards {towards}."]
    sentences += _creatures(state["creatures"])
    sentences.append(_terrain(state["terrain"]))
    sights = [_named(sight) for sight in SIGHTS if state["terrain"].get(sight)]
    if sights:
        sentences.append(f"In view: {', '.join(sights)}.")
    if state["terrain"].get("lava"):
        sentences.append("Danger: lava.")
    sentences.append(LIGHT_SENTENCES[state["light"]])
    vitals = ", ".join(f"{name} {state[name]}" for name in ("health", "food", "drink", "energy"))
    sentences.append(f"{vitals.capitalize()}.")
    goods = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in state["inventory"].items())
    sentences.append(f"Inventory: {goods or 'empty'}.")
    return " ".join(sentences)


def spoil(caption: str, other: str, kind: str) -> str:
    """The caption spoilt in one of SPOILT_KINDS; `other` is the caption of another frame. Always differs."""
    if kind == "light":
        day = LIGHT_SENTENCES["day"]
        return caption.replace(day, LIGHT_SENTENCES["night"]) if day in caption else _with_daylight(caption)
    if kind == "lava":
        ground = caption.split(" on ", 1)[1].split(",", 1)[0].split(".", 1)[0]
        return caption.replace(f" on {ground}", " on lava", 1)
    if kind == "number":
        head, tail = caption.split("Health ", 1)
        return f"{head}Health {(int(tail[0]) + 4) % 10}{tail[1:]}"
    if kind == "swapped":
        return other
    if kind == "cut":
        return caption[: len(caption) * 2 // 5].rstrip(" .,")
    return "" if kind == "empty" else f"IMG_{sum(caption.encode()) % 10000:04d}.JPG"


def _with_daylight(caption: str) -> str:
    for word in ("dusk", "night"):
        caption = caption.replace(LIGHT_SENTENCES[word], LIGHT_SENTENCES["day"])
    return caption


def _named(name: str | None) -> str:
    if name is None:
        return "the edge of the world"
    if name == "arrow":
        return "an arrow"
    return f"a {name}" if name in COUNTED else name


def _where(dx: int, dy: int) -> str:
    words = ["above" if dy < 0 else "below"] if dy else []
    words += ["to the left" if dx < 0 else "to the right"] if dx else []
    return " and ".join(words) + (" of the player" if dx else " the player")


def _creatures(things: list[dict[str, Any]]) -> list[str]:
    nearest = sorted(things, key=lambda t: (abs(t["dx"]) + abs(t["dy"]), t["dy"], t["dx"]))[:CREATURES_NAMED]
    sentences = [f"There is {_named(thing['kind'])} {_where(thing['dx'], thing['dy'])}." for thing in nearest]
    return list(dict.fromkeys(sentences))


def _terrain(counts: Mapping[str, int]) -> str:
    """Most of the view, and up to two others that fill at least four of its 63 cells; ties by name."""
    order = sorted((name for name in counts if name not in SIGHTS), key=lambda name: (-counts[name], name))
    others = [name for name in order[1:3] if counts[name] >= 4]
    return f"The view shows mostly {order[0]}" + (f" with {' and '.join(others)}." if others else ".")
