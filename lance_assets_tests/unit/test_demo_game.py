"""The game is the same on every run, and its frames are what the captions say."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys

import crafter.constants
import numpy as np
import pytest
from PIL import Image

from lance_assets.sources.demo.bot import ACTIONS
from lance_assets.sources.demo.game import Game, play, play_episode

DIGEST_SCRIPT = """
import hashlib
from lance_assets.sources.demo.game import play_episode
digest = hashlib.sha256()
for frame in play_episode(0, 1, steps=300):
    digest.update(frame.jpeg + frame.caption.encode())
print(digest.hexdigest())
"""
DIGEST = "9551216811c55d9e9608d26e7ebadee1b8f4a81b0dee6f6764caa5ac7f5651ad"
"""Of the first 300 steps of an episode that goes through a night; crafter, numpy and pillow are pinned for it."""


@pytest.fixture(scope="module")
def frames():
    return list(play(110, seed=3))


def test_frames_and_captions_are_the_same_in_every_process_and_release():
    found = set()
    for hash_seed in ("1", "77"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        run = subprocess.run([sys.executable, "-c", DIGEST_SCRIPT], env=env, capture_output=True, text=True, check=True)
        found.add(run.stdout.strip())
    assert found == {DIGEST}


def test_a_shorter_play_is_the_beginning_of_a_longer_one(frames):
    assert list(play(25, seed=3)) == frames[:25]


def test_play_goes_on_where_an_earlier_one_stopped(frames):
    head = frames[:97]
    seen = {hashlib.sha256(frame.jpeg).digest() for frame in head}
    assert list(play(13, 3, first_episode=head[-1].state["episode"], seen=seen)) == frames[97:]


def test_the_frames_are_distinct_jpegs_of_288_pixels_from_several_worlds(frames):
    assert len({frame.jpeg for frame in frames}) == 110
    assert len({frame.state["episode"] for frame in frames}) >= 2
    image = Image.open(io.BytesIO(frames[0].jpeg), formats=("JPEG",))
    assert image.size == (288, 288)


def test_another_seed_plays_another_game():
    one, other = (play_episode(seed, 0, steps=30) for seed in (0, 1))
    assert [frame.jpeg for frame in one] != [frame.jpeg for frame in other]


def test_captions_and_states_tell_the_same_story(frames):
    for frame in frames:
        assert f"Health {frame.state['health']}, food {frame.state['food']}" in frame.caption
        word = {"day": "daytime", "dusk": "dusk", "night": "night"}[frame.state["light"]]
        assert f"It is {word}." in frame.caption
        assert sum(frame.state["terrain"].values()) <= 63


def test_night_frames_are_darker_than_day_frames(frames):
    def brightness(light):
        kept = [f for f in frames if f.state["light"] == light and not f.state["sleeping"]]
        images = [Image.open(io.BytesIO(f.jpeg), formats=("JPEG",)).convert("L") for f in kept]
        return np.mean([np.asarray(image)[:224] for image in images])  # the rows below show the inventory

    assert brightness("night") < 0.75 * brightness("day")


def test_the_bot_knows_the_actions_of_the_installed_game():
    assert list(ACTIONS) == vars(crafter.constants)["actions"]


def test_drawing_a_frame_does_not_change_the_game():
    games = [Game(area=(64, 64), view=(9, 9), size=(288, 288), length=0, seed=5) for _ in range(2)]
    for game in games:
        game.reset()
        game.start_at(190)  # night, whose noise takes numbers from the world's generator
    for step in range(60):
        games[1].jpeg()
        for game in games:
            game.step(1 + step % (len(ACTIONS) - 1))
    assert games[0].state() == games[1].state()
    assert games[0].jpeg() == games[1].jpeg()
