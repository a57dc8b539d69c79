"""A line chart, for loss curves in asset metadata: Pillow only."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from lance_assets.preview.sheet import data_uri

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 48, 44
SCALE = 2
"""Drawn twice as large and shrunk: smooth lines."""

WHITE, INK, FAINT, GRID, LINE = (255, 255, 255), (55, 62, 72), (110, 118, 130), (228, 231, 236), (38, 103, 172)

Point = tuple[float, float]


def curve_png(points: Sequence[Point], title: str, ylabel: str, xlabel: str = "step") -> bytes:
    """A 640 x 320 PNG of (x, y) points joined by lines, with labelled axes; the last value is written in the corner.

    Points that are not finite are left out; without any the chart says "no values".
    """
    usable = sorted((float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y))
    image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), WHITE)
    draw = ImageDraw.Draw(image)
    _write(draw, (LEFT, 14), title, 15, INK, "lm")
    _write(draw, (LEFT, 31), ylabel, 11, FAINT, "lm")
    _write(draw, (WIDTH - RIGHT, HEIGHT - 8), xlabel, 11, FAINT, "rm")
    if usable:
        _plot(draw, usable)
    else:
        _write(draw, (WIDTH / 2, HEIGHT / 2), "no values", 14, FAINT, "mm")
    out = io.BytesIO()
    image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).quantize(32).save(out, "PNG", optimize=True)
    return out.getvalue()


def curve_markdown(points: Sequence[Point], title: str, ylabel: str, xlabel: str = "step") -> str:
    """The chart as a Markdown picture."""
    return f"![curve]({data_uri(curve_png(points, title, ylabel, xlabel), 'image/png')})"


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) that cover [low, high]."""
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _plot(draw: ImageDraw.ImageDraw, points: list[Point]) -> None:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    across, up = ticks(min(xs), max(xs), 8), ticks(min(ys), max(ys))
    left, right = (min(xs), max(xs)) if len(points) > 1 and max(xs) > min(xs) else (across[0], across[-1])

    def place(x: float, y: float) -> Point:
        return (
            LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - (y - up[0]) / (up[-1] - up[0]) * (HEIGHT - TOP - BOTTOM),
        )

    for y in up:
        _, at = place(left, y)
        _line(draw, [(LEFT, at), (WIDTH - RIGHT, at)], GRID, 1)
        _write(draw, (LEFT - 8, at), f"{y:g}", 11, FAINT, "rm")
    for x in across:
        if left <= x <= right:
            at, _ = place(x, up[0])
            _line(draw, [(at, HEIGHT - BOTTOM), (at, HEIGHT - BOTTOM + 4)], FAINT, 1)
            _write(draw, (at, HEIGHT - BOTTOM + 14), f"{x:g}", 11, FAINT, "mm")
    _line(draw, [(LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, HEIGHT - BOTTOM)], FAINT, 1)
    placed = [place(x, y) for x, y in points]
    _line(draw, placed, LINE, 2)
    for x, y in placed if len(placed) <= 40 else placed[-1:]:
        draw.ellipse([(x - 3) * SCALE, (y - 3) * SCALE, (x + 3) * SCALE, (y + 3) * SCALE], fill=LINE)
    _write(draw, (WIDTH - RIGHT, 14), f"last {points[-1][1]:.4g}", 12, LINE, "rm")


def _line(draw: ImageDraw.ImageDraw, path: Sequence[Point], colour: tuple[int, int, int], width: int) -> None:
    draw.line([(x * SCALE, y * SCALE) for x, y in path], fill=colour, width=width * SCALE, joint="curve")


def _write(
    draw: ImageDraw.ImageDraw, at: Point, text: str, size: int, colour: tuple[int, int, int], anchor: str
) -> None:
    font = ImageFont.load_default(size * SCALE)
    draw.text((at[0] * SCALE, at[1] * SCALE), text, fill=colour, font=font, anchor=anchor)
