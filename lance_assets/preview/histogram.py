"""A score histogram small enough to be shown inline by the Dagster UI (Markdown under 1,000 characters)."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from lance_assets.preview.sheet import data_uri

WIDTH, HEIGHT = 240, 60
BARS = 24
FLOOR = 46
"""The y pixel of the base line; labels stand below."""

WHITE, BAR, LINE, TEXT, MEDIAN = (255, 255, 255), (79, 124, 172), (190, 196, 204), (70, 78, 90), (214, 84, 60)


def histogram_png(values: ArrayLike, low: float = 0.0, high: float = 100.0) -> bytes:
    """A 240 x 60 PNG of five colours: bars of the finite values over [low, high] (values outside count at the ends), a
    red tick at the median, its value and both ends as labels. About 400 bytes.
    """
    scores = np.asarray(values, dtype=np.float64)
    scores = np.clip(scores[np.isfinite(scores)], low, high)
    image = Image.new("P", (WIDTH, HEIGHT), 0)
    image.putpalette([channel for colour in (WHITE, BAR, LINE, TEXT, MEDIAN) for channel in colour])
    draw = ImageDraw.Draw(image)
    draw.fontmode = "1"  # no smoothing: it would not fit into five colours
    if len(scores):
        counts, _ = np.histogram(scores, bins=BARS, range=(low, high))
        step = WIDTH // BARS
        for bar, count in enumerate(counts):
            if count:
                top = FLOOR - max(1, round((FLOOR - 3) * int(count) / int(counts.max())))
                draw.rectangle((bar * step, top, (bar + 1) * step - 2, FLOOR - 1), fill=1)
        median = float(np.median(scores))
        middle = round((median - low) / (high - low) * (WIDTH - 2))
        draw.line((middle, 0, middle, FLOOR - 1), fill=4, width=2)
        draw.text((WIDTH // 2, HEIGHT - 1), f"median {median:.3g}", fill=4, anchor="mb")
    else:
        draw.text((WIDTH // 2, FLOOR // 2), "no scores", fill=3, anchor="mm")
    draw.line((0, FLOOR, WIDTH, FLOOR), fill=2)
    draw.text((0, HEIGHT - 1), f"{low:g}", fill=3, anchor="lb")
    draw.text((WIDTH - 1, HEIGHT - 1), f"{high:g}", fill=3, anchor="rb")
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True, bits=4)
    return out.getvalue()


def histogram_markdown(values: ArrayLike, low: float = 0.0, high: float = 100.0) -> str:
    """The histogram as a Markdown picture, below 1,000 characters."""
    return f"![histogram]({data_uri(histogram_png(values, low, high), 'image/png')})"


def shown_range(values: ArrayLike) -> tuple[float, float]:
    """0..100 where all finite values lie there (the scale of most scorers), else their own range."""
    scores = np.asarray(values, dtype=np.float64)
    scores = scores[np.isfinite(scores)]
    if not len(scores) or (scores.min() >= 0 and scores.max() <= 100):
        return 0.0, 100.0
    low, high = float(scores.min()), float(scores.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)
