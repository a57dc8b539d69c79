"""Pictures are given to a model in evaluation at the size that they had in its training."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from lance_assets.training.pictures import sized

SIZES = [(144, 144), (288, 288), (640, 480), (5, 5), (20, 300), (1, 300), (300, 1), (9000, 30), (30, 9000), (8000, 1)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("pixels", [(20736, 20736), (1024, 589824)], ids=str)
def test_a_picture_is_sized_as_llamafactory_does(size: tuple[int, int], pixels: tuple[int, int]) -> None:
    plugins: Any = pytest.importorskip("llamafactory.data.mm_plugin", reason="needs the extra train")
    plugin = plugins.get_mm_plugin("qwen2_vl", "<|image_pad|>", "<|video_pad|>")
    image = Image.new("RGB", size)
    try:
        theirs = plugin._preprocess_image(image, image_min_pixels=pixels[0], image_max_pixels=pixels[1])
    except ValueError:  # a side of no pixel: LLaMA-Factory refuses it, too
        with pytest.raises(ValueError):
            sized(image, *pixels)
        return
    assert sized(image, *pixels).size == theirs.size
