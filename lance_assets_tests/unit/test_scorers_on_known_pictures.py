"""Sharpness and exposure on pictures whose right order is known."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageEnhance, ImageFilter

from lance_assets.scoring.api import Item
from lance_assets.scoring.registry import scorers
from lance_assets_tests.pictures import scene


def score(name: str, image: Image.Image) -> float:
    out = io.BytesIO()
    image.save(out, "PNG")
    (value,) = scorers([name])[name].score([Item("a", data=out.getvalue())])
    assert isinstance(value, float)
    return value


def test_more_blur_is_less_sharp():
    values = [score("sharpness", scene().filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 1, 2, 4, 8)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 50 and values[-1] < 10


def test_a_flat_picture_has_no_sharpness():
    assert score("sharpness", Image.new("RGB", (300, 200), (90, 120, 40))) == 0


def test_sharpness_is_compared_at_one_size():
    large = scene(1024)
    blurred = large.filter(ImageFilter.GaussianBlur(1))  # invisible once the picture is shrunk to the working size
    assert score("sharpness", blurred) == pytest.approx(score("sharpness", large), abs=8)


@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (4000, 1), (3, 2)])
def test_pictures_of_any_shape_get_a_score(size):
    assert 0 <= score("sharpness", Image.new("RGB", size, (5, 5, 5))) <= 100
    assert 0 <= score("exposure", Image.new("RGB", size, (5, 5, 5))) <= 100


def test_darker_and_brighter_pictures_are_worse_exposed():
    right = score("exposure", scene())
    darker = [score("exposure", ImageEnhance.Brightness(scene()).enhance(factor)) for factor in (0.5, 0.2, 0.05)]
    brighter = [score("exposure", ImageEnhance.Brightness(scene()).enhance(factor)) for factor in (1.8, 3, 9)]
    assert [right, *darker] == sorted([right, *darker], reverse=True)
    assert [right, *brighter] == sorted([right, *brighter], reverse=True)
    assert right > 70 and darker[-1] < 25 and brighter[-1] < 25


def test_black_and_white_score_nothing_and_one_grey_half():
    assert score("exposure", Image.new("RGB", (64, 64), (0, 0, 0))) == 0
    assert score("exposure", Image.new("RGB", (64, 64), (255, 255, 255))) == 0
    assert score("exposure", Image.new("RGB", (64, 64), (128, 128, 128))) == pytest.approx(50, abs=0.1)


def test_less_contrast_is_worse():
    values = [score("exposure", ImageEnhance.Contrast(scene()).enhance(factor)) for factor in (1, 0.5, 0.2)]
    assert values == sorted(values, reverse=True) and values[0] > values[-1] + 20


def test_the_same_picture_in_another_format_scores_alike():
    jpeg = io.BytesIO()
    scene().save(jpeg, "JPEG", quality=92)
    with Image.open(jpeg, formats=("JPEG",)) as again:
        for name in ("sharpness", "exposure"):
            assert score(name, again.convert("RGB")) == pytest.approx(score(name, scene()), abs=3)
