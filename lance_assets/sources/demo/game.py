"""Frames of the game Crafter, played by a scripted bot: the same bytes and captions on every run.

Stock crafter is not reproducible; `Game` cures that with private names of crafter 1.8.3, so the version is pinned and a
digest test watches it.
"""

from __future__ import annotations

import hashlib
import io
import multiprocessing
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from PIL import Image

from lance_assets.errors import BadInput, MissingExtra
from lance_assets.sources.demo.bot import Bot
from lance_assets.sources.demo.captions import describe, light_word

try:
    import crafter
except ImportError as error:
    raise MissingExtra("crafter", "demo", "the demo's game") from error

PIXELS = 288
"""Width and height of a frame: 9 x 9 cells of 32 pixels; the last two rows of cells show the inventory."""
WIDE, HIGH = 9, 7
EPISODE_STEPS = 450
PROCESSES = 2
FIRST_GUESS = 85
"""Frames expected of an episode before the first one has ended; only how far to work ahead depends on it."""
BARREN_EPISODES = 20


@dataclass(frozen=True)
class Frame:
    """One screen: JPEG bytes (288 x 288, quality 90), the caption that is true for it, and the state behind both."""

    jpeg: bytes
    caption: str
    state: dict[str, Any]


class Game(crafter.Env):
    """Crafter with what made it irreproducible or slow taken out."""

    def _obs(self) -> Any:
        return None  # step() and reset() would draw every frame: draw only those that are kept

    def _update_time(self) -> None:
        super()._update_time()
        # the last bits of a cosine differ between machines, and they would reach the pixels
        self._world.daylight = round(float(self._world.daylight), 6)

    def _balance_chunk(self, chunk: Any, objs: Any) -> Any:
        # members live in a set ordered by memory address: take the world's own order instead
        order = sorted(objs, key=lambda o: int(self._world._obj_map[tuple(o.pos)]))
        return super()._balance_chunk(chunk, cast(Any, order))

    @property
    def player(self) -> Any:
        """The player object of crafter: pos, facing, inventory, sleeping."""
        if self._player is None:
            raise RuntimeError("reset() makes the player")
        return self._player

    def cell(self, x: int, y: int) -> tuple[str | None, Any]:
        """(material, object) of a cell of the world; (None, None) outside."""
        return self._world[(x, y)]

    def start_at(self, step: int) -> None:
        """Moves the clock, so that a night comes early in some episodes."""
        self._step = step
        self._update_time()

    def revive(self) -> bool:
        """A new life in the same world, since making a world costs more than playing it; False where lava is below."""
        if self._world[self.player.pos][0] == "lava":
            return False
        self.player.inventory.update(health=9, food=9, drink=9, energy=9)
        return True

    def jpeg(self) -> bytes:
        """The screen as JPEG. Night noise is drawn from the world's generator: drawing must not change the game."""
        state = self._world.random.get_state()
        try:
            pixels = self.render()
        finally:
            self._world.random.set_state(state)
        body = io.BytesIO()
        Image.fromarray(pixels).save(body, "JPEG", quality=90)
        return body.getvalue()

    def state(self) -> dict[str, Any]:
        """What the screen shows, as plain data."""
        player = self.player
        x, y = (int(v) for v in player.pos)
        fx, fy = (int(v) for v in player.facing)
        counts: dict[str, int] = {}
        things: list[dict[str, Any]] = []
        for dy in range(-(HIGH // 2), HIGH // 2 + 1):
            for dx in range(-(WIDE // 2), WIDE // 2 + 1):
                material, thing = self.cell(x + dx, y + dy)
                if material is not None:
                    counts[material] = counts.get(material, 0) + 1
                if thing is not None and thing is not player:
                    things.append({"kind": type(thing).__name__.lower(), "dx": dx, "dy": dy})
        material, thing = self.cell(x + fx, y + fy)
        numbers = {k: int(v) for k, v in player.inventory.items()}
        vitals = {k: numbers.pop(k) for k in ("health", "food", "drink", "energy")}
        light = float(self._world.daylight)
        return {
            **vitals,
            "inventory": {k: v for k, v in numbers.items() if v > 0},
            "sleeping": bool(player.sleeping),
            "daylight": light,
            "light": light_word(light),
            "standing_on": self.cell(x, y)[0],
            "facing": {(-1, 0): "left", (1, 0): "right", (0, -1): "up", (0, 1): "down"}[fx, fy],
            "facing_what": type(thing).__name__.lower() if thing is not None else material,
            "creatures": things,
            "terrain": counts,
        }


def play(frames: int, seed: int, first_episode: int = 0, seen: Collection[bytes] = ()) -> Iterator[Frame]:
    """`frames` distinct frames of the seed's endless game, in order: play(900) starts with play(600).

    To go on where an earlier call stopped: `first_episode` = the episode of its last frame, `seen` = the sha256 digests
    of all its JPEGs (frames that look the same are dropped). Episodes are played in two processes and taken in order;
    how far they run ahead changes the time, never a frame. Raises BadInput where the game yields nothing new any more.
    """
    digests = set(seen)
    wanted = len(digests) + frames
    waiting: deque[Future[list[Frame]]] = deque()
    done, submitted, barren = 0, first_episode, 0
    # spawn: the caller may have threads (Ray, Dagster), and forking those can deadlock
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            while len(digests) < wanted:
                usual = (len(digests) - len(seen)) / done if done else FIRST_GUESS
                while not waiting or (len(waiting) <= PROCESSES and len(digests) + len(waiting) * usual < wanted):
                    waiting.append(pool.submit(play_episode, seed, submitted))
                    submitted += 1
                before = len(digests)
                for frame in waiting.popleft().result():
                    digest = hashlib.sha256(frame.jpeg).digest()
                    if digest not in digests and len(digests) < wanted:
                        digests.add(digest)
                        yield frame
                done += 1
                barren = barren + 1 if len(digests) == before else 0
                if barren == BARREN_EPISODES:
                    raise BadInput(f"the demo's game with seed {seed} yields no new frames after {done} episodes")
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def play_episode(seed: int, episode: int, steps: int = EPISODE_STEPS) -> list[Frame]:
    """The kept frames of one episode: whenever the inventory or sleep changed (at least 4 steps apart), or after 25."""
    random = np.random.RandomState((seed * 1000003 + episode) % 2**31)
    game = Game(area=(64, 64), view=(9, 9), size=(PIXELS, PIXELS), length=0, seed=seed * 100003 + episode)
    game.reset()
    game.start_at(int(random.randint(0, 301)))
    bot = Bot(random)
    kept: list[Frame] = []
    last_key, last_step = None, -25
    for step in range(steps):
        since = step - last_step
        key = (tuple(game.player.inventory.items()), game.player.sleeping)
        if since >= 25 or (since >= 4 and key != last_key):
            state = {**game.state(), "seed": seed, "episode": episode, "step": step}
            kept.append(Frame(game.jpeg(), describe(state), state))
            last_key, last_step = key, step
        dead = game.step(bot.act(game))[2]
        if dead and not game.revive():
            break
    return kept
