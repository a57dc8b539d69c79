"""A scripted player: fights, sleeps, drinks, eats, mines and crafts, so that screens and inventories vary."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

RADIUS = 9
FREE = ("grass", "path", "sand")
MOVES = {(-1, 0): "move_left", (1, 0): "move_right", (0, -1): "move_up", (0, 1): "move_down"}
ACTIONS = (
    "noop", "move_left", "move_right", "move_up", "move_down", "do", "sleep", "place_stone", "place_table",
    "place_furnace", "place_plant", "make_wood_pickaxe", "make_stone_pickaxe", "make_iron_pickaxe", "make_wood_sword",
    "make_stone_sword", "make_iron_sword",
)  # fmt: skip
"""Crafter's actions; an action is its position in this list."""

Wanted = Callable[[str | None, Any], bool]


class Board(Protocol):
    """What the bot sees of the game."""

    @property
    def player(self) -> Any: ...

    def cell(self, x: int, y: int) -> tuple[str | None, Any]: ...


class Bot:
    """Chooses one action a step. All its chance comes from the generator it is given."""

    def __init__(self, random: np.random.RandomState) -> None:
        self._random = random
        self._heading = (0, 1)
        self._steps = 0

    def act(self, game: Board) -> int:
        """The index of the next action in crafter's list."""
        return ACTIONS.index(self._choose(game))

    def _choose(self, game: Board) -> str:
        player = game.player
        self._steps += 1
        if player.sleeping:
            return "noop"
        if self._random.randint(0, 100) < 5:
            return list(MOVES.values())[self._random.randint(0, 4)]
        if enemy := self._towards(game, lambda _, o: kind(o) in ("zombie", "skeleton"), reach=2):
            return enemy
        if player.inventory["energy"] < 4 and player.inventory["drink"] > 2 and player.inventory["food"] > 2:
            return "sleep"
        for wanted in self._wishes(game):
            action = wanted if isinstance(wanted, str) else self._towards(game, wanted)
            if action is not None:
                return action
        return self._wander(game)

    def _wishes(self, game: Board) -> list[str | Wanted]:
        """What to do, most urgent first: an action, or a kind of cell to walk up to and use."""
        have = game.player.inventory
        wishes: list[str | Wanted] = []
        if have["drink"] < 6:
            wishes.append(material("water"))
        if have["food"] < 6:
            wishes.append(lambda _, o: kind(o) == "cow" or (kind(o) == "plant" and o.ripe))
        x, y = (int(v) for v in game.player.pos)
        near = {game.cell(x + dx, y + dy)[0] for dx in (-1, 0, 1) for dy in (-1, 0, 1)}
        front = game.cell(x + int(game.player.facing[0]), y + int(game.player.facing[1]))
        open_front = front[0] in FREE and front[1] is None
        if have["sapling"] and front[0] == "grass" and front[1] is None:
            wishes.append("place_plant")
        if not have["sapling"] and front[0] == "grass" and front[1] is None and self._steps % 12 == 0:
            wishes.append("do")
        if not have["wood_pickaxe"] and have["wood"] >= 4 and "table" not in near and open_front:
            wishes.append("place_table")
        if "table" in near:
            wishes.extend(self._craft(have, near, open_front))
        if have["stone"] > 6 and front[0] in ("water", "lava"):
            wishes.append("place_stone")
        wishes.append(material(*self._ores(have)))
        ready = have["wood_pickaxe"] and have["stone"] >= 2 and have["wood"] >= 2 and not have["stone_pickaxe"]
        if ready and open_front and "table" not in near:
            wishes.append("place_table" if have["wood"] >= 4 else material("tree"))
        if have["wood"] < 7:
            wishes.append(material("tree"))
        return wishes

    @staticmethod
    def _craft(have: Any, near: set[str | None], open_front: bool) -> list[str | Wanted]:
        wishes: list[str | Wanted] = []
        for tier, uses in (("wood", {"wood": 1}), ("stone", {"wood": 1, "stone": 1})):
            if all(have[item] >= count for item, count in uses.items()):
                wishes.extend(f"make_{tier}_{tool}" for tool in ("pickaxe", "sword") if not have[f"{tier}_{tool}"])
        if have["stone"] >= 4 and have["iron"] and "furnace" not in near and open_front:
            wishes.append("place_furnace")
        if "furnace" in near and all(have[item] for item in ("wood", "coal", "iron")):
            wishes.extend(f"make_iron_{tool}" for tool in ("pickaxe", "sword") if not have[f"iron_{tool}"])
        return wishes

    @staticmethod
    def _ores(have: Any) -> list[str]:
        if not have["wood_pickaxe"]:
            return []
        ores = ["coal"] if have["coal"] < 9 else []
        ores += ["iron"] if have["stone_pickaxe"] and have["iron"] < 9 else []
        ores += ["diamond"] if have["iron_pickaxe"] else []
        return ores + (["stone"] if have["stone"] < 8 else [])

    def _towards(self, game: Board, wanted: Wanted, reach: int = RADIUS) -> str | None:
        """The first step to the nearest wanted cell (breadth first over free cells), or `do` where it is in front."""
        player = game.player
        origin = (int(player.pos[0]), int(player.pos[1]))
        facing = (int(player.facing[0]), int(player.facing[1]))
        queue: deque[tuple[tuple[int, int], tuple[int, int] | None, int]] = deque([(origin, None, 0)])
        seen = {origin}
        while queue:
            (x, y), first, steps = queue.popleft()
            for move in MOVES:
                target = (x + move[0], y + move[1])
                found, thing = game.cell(*target)
                if wanted(found, thing):
                    if first is None:
                        return "do" if move == facing else MOVES[move]
                    return MOVES[first]
                if target not in seen and steps + 1 < reach and found in FREE and thing is None:
                    seen.add(target)
                    queue.append((target, first or move, steps + 1))
        return None

    def _wander(self, game: Board) -> str:
        x, y = (int(v) for v in game.player.pos)
        ahead, thing = game.cell(x + self._heading[0], y + self._heading[1])
        if ahead not in FREE or thing is not None or self._random.randint(0, 20) == 0:
            free = [m for m in MOVES if game.cell(x + m[0], y + m[1])[0] in FREE] or list(MOVES)
            self._heading = free[self._random.randint(0, len(free))]
            ahead, _ = game.cell(x + self._heading[0], y + self._heading[1])
        if ahead == "lava":
            return "noop"
        return MOVES[self._heading]


def kind(thing: Any) -> str:
    """The kind of an object of the world in lower case; `nonetype` for none."""
    return type(thing).__name__.lower()


def material(*names: str) -> Wanted:
    """Wants a cell of one of these materials with nobody on it."""
    return lambda found, thing: found in names and thing is None
