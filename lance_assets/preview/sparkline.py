"""A line chart small enough to be shown inline by the Dagster UI (Markdown under 1,000 characters)."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from lance_assets.preview.sheet import data_uri

WIDTH, HEIGHT = 240, 60
FLOOR = 46
"""The y pixel of the base line; the labels stand below."""
WHITE, CURVE, LINE, TEXT = (255, 255, 255), (38, 103, 172), (190, 196, 204), (70, 78, 90)


def sparkline_markdown(values: Sequence[float], name: str) -> str:
    """The values from left to right as a Markdown picture, the first and the last as labels."""
    return f"![{name}]({data_uri(sparkline_png(values, name), 'image/png')})"


def sparkline_png(values: Sequence[float], name: str) -> bytes:
    """A 240 x 60 PNG of four colours; where there are more values than pixels, each pixel shows the mean of its own.
    Values that are not finite are left out."""
    usable = [value for value in values if math.isfinite(value)]
    image = Image.new("P", (WIDTH, HEIGHT), 0)
    image.putpalette([channel for colour in (WHITE, CURVE, LINE, TEXT) for channel in colour])
    draw = ImageDraw.Draw(image)
    draw.fontmode = "1"  # no smoothing: it would not fit into four colours
    draw.line((0, FLOOR, WIDTH, FLOOR), fill=2)
    if usable:
        means = [float(part.mean()) for part in np.array_split(np.array(usable), min(len(usable), WIDTH // 2))]
        low, high = min(means), max(means)
        across, up = (WIDTH - 3) / max(1, len(means) - 1), (FLOOR - 5) / ((high - low) or 1)
        path = [(1 + across * at, FLOOR - 3 - up * (value - low)) for at, value in enumerate(means)]
        draw.line(path if len(path) > 1 else [path[0], (WIDTH - 2, path[0][1])], fill=1, width=2)
        draw.text((0, HEIGHT - 1), f"{usable[0]:.3g}", fill=3, anchor="lb")
        draw.text((WIDTH - 1, HEIGHT - 1), f"{usable[-1]:.3g}", fill=1, anchor="rb")
    draw.text((WIDTH // 2, HEIGHT - 1), name if usable else "no values", fill=3, anchor="mb")
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True, bits=2)
    return out.getvalue()
