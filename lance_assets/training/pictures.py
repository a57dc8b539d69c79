"""Encoded images opened as pictures, in the formats that the platform stores and no other."""

from __future__ import annotations

import math
from io import BytesIO
from typing import Any

#: Of LLaMA-Factory's plugin for Qwen-VL: the shortest side, the highest ratio of sides, and what a higher one becomes.
SHORTEST, RATIO, SQUEEZED = 28, 200, 180
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def opened(data: bytes) -> Any:
    """A PIL image, not decoded yet."""
    from PIL import Image

    return Image.open(BytesIO(data), formats=IMAGE_FORMATS)


def sized(image: Any, low: int, high: int) -> Any:
    """A picture (PIL, RGB) of `low` to `high` pixels, as LLaMA-Factory's Qwen2VLPlugin gives it to the processor."""
    if image.width * image.height > high:
        image = _scaled(image, high)
    if image.width * image.height < low:
        image = _scaled(image, low)
    if min(image.size) < SHORTEST:
        image = image.resize((max(image.width, SHORTEST), max(image.height, SHORTEST)))
    if image.width / image.height > RATIO:
        image = image.resize((image.height * SQUEEZED, image.height))
    if image.height / image.width > RATIO:
        image = image.resize((image.width, image.width * SQUEEZED))
    return image


def _scaled(image: Any, pixels: int) -> Any:
    factor = math.sqrt(pixels / (image.width * image.height))
    return image.resize((int(image.width * factor), int(image.height * factor)))
