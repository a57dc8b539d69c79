"""Encoded images opened as pictures, in the formats that the platform stores and no other."""

from __future__ import annotations

from io import BytesIO
from typing import Any

IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")


def opened(data: bytes) -> Any:
    """A PIL image, not decoded yet."""
    from PIL import Image

    return Image.open(BytesIO(data), formats=IMAGE_FORMATS)
