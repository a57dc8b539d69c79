"""Drawn pictures whose scores are known."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw


def scene(side: int = 384) -> Image.Image:
    """A street of many rectangles under a graded sky: detail, contrast, middle grey on average."""
    rng = np.random.RandomState(3)
    sky = np.linspace(200, 90, side, dtype=np.uint8)
    image = Image.fromarray(np.dstack([np.repeat(sky[:, None], side, axis=1)] * 3))
    draw = ImageDraw.Draw(image)
    for _ in range(160):
        x, y = (int(v) for v in rng.randint(0, side, 2))
        w, h = (int(v) for v in rng.randint(4, side // 8, 2))
        draw.rectangle((x, y, x + w, y + h), fill=tuple(int(v) for v in rng.randint(20, 235, 3)))
    return image
