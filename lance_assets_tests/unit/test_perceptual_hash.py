"""The hash on copies of pictures, on pictures of other things, on flat and on broken ones."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from lance_assets.scoring.api import Item, ScoreFailure, State
from lance_assets.scoring.duplicate import Duplicate
from lance_assets.scoring.perceptual_hash import BITS, perceptual_hash
from lance_assets.sources.demo.game import play_episode
from lance_assets.store.duplicates import distance
from lance_assets_tests.pictures import scene

RADIUS = Duplicate().config.radius


def encoded(image: Image.Image, quality: int = 95, format: str = "JPEG") -> bytes:
    out = io.BytesIO()
    image.save(out, format, quality=quality)
    return out.getvalue()


def hash_of(data: bytes) -> bytes:
    found = perceptual_hash(data)
    assert found is not None
    return found


def scaled(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)


COPIES = {
    "quality 85": lambda image: encoded(image, 85),
    "quality 60": lambda image: encoded(image, 60),
    "PNG": lambda image: encoded(image, format="PNG"),
    "half the size": lambda image: encoded(scaled(image, 0.5)),
    "one and a half times the size": lambda image: encoded(scaled(image, 1.5)),
    "brighter": lambda image: encoded(ImageEnhance.Brightness(image).enhance(1.1)),
    "grey": lambda image: encoded(image.convert("L")),
}


@pytest.fixture(scope="module")
def frames() -> list[bytes]:
    """An episode of the demo's game."""
    return [frame.jpeg for frame in play_episode(0, 0, 300)]


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_is_within_the_radius(copy, frames):
    for data in (encoded(scene()), *frames[::10]):
        image = Image.open(io.BytesIO(data), formats=["JPEG"]).convert("RGB")
        assert distance(hash_of(data), hash_of(COPIES[copy](image))) <= RADIUS


def test_most_frames_of_one_episode_are_no_copies_of_each_other(frames):
    hashes = list(map(hash_of, frames))
    like = [1 for one, other in itertools.combinations(hashes, 2) if distance(one, other) <= RADIUS]
    assert len(like) < len(frames) / 4


def test_half_of_the_bits_are_set_so_distances_are_even(frames):
    assert {int.from_bytes(hash_of(frame)).bit_count() for frame in frames} == {BITS // 2}


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (300, 200)])
def test_a_flat_picture_has_no_hash(size):
    noise = np.random.default_rng(0).integers(98, 102, (*reversed(size), 3), dtype=np.uint8)
    assert perceptual_hash(encoded(Image.new("RGB", size, (90, 120, 40)))) is None
    assert perceptual_hash(encoded(Image.fromarray(noise))) is None


def test_a_broken_picture_fails_alone():
    good = encoded(scene())
    found = Duplicate().hashes([Item("a", data=good), Item("b", data=good[:200]), Item("c")])
    assert found[0] == hash_of(good)
    assert [(one.state, str(one)[:24]) for one in found[1:] if isinstance(one, ScoreFailure)] == [
        (State.FAILED_PERMANENT, "the image cannot be deco"),
        (State.FAILED_PERMANENT, "the row has no image"),
    ]


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded():
    out = io.BytesIO()
    Image.new("1", (8_000, 8_000)).save(out, "PNG")
    with pytest.raises(ScoreFailure, match="more than"):
        perceptual_hash(out.getvalue())
