"""What people look at: escaped, small, and readable."""

from __future__ import annotations

import base64
import io
import math
import re

import numpy as np
import pytest
from PIL import Image

from lance_assets.preview.curve import curve_markdown, curve_png, ticks
from lance_assets.preview.histogram import histogram_markdown, histogram_png
from lance_assets.preview.numbers import score_numbers
from lance_assets.preview.sheet import contact_sheet, escaped, thumbnail


def photo(seed: int = 0, size: tuple[int, int] = (288, 288), kind: str = "JPEG") -> bytes:
    rng = np.random.RandomState(seed)
    small = Image.fromarray(rng.randint(0, 255, (9, 9, 3), dtype=np.uint8))
    out = io.BytesIO()
    small.resize(size, Image.Resampling.NEAREST).save(out, kind)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))


def test_a_sheet_of_eight_is_a_table_of_small_pictures_below_40_kB():
    rows = [{"image": photo(n), "caption": f"Caption {n}.", "note": "sharpness 91.2"} for n in range(8)]
    sheet = contact_sheet(rows)
    assert len(sheet.encode()) < 40_000
    lines = sheet.splitlines()
    assert len(lines) == 5 and all(len(re.findall(r"(?<!\\)\|", line)) == 5 for line in lines)
    pictures = re.findall(r"!\[\]\(data:image/jpeg;base64,([^)]+)\)", sheet)
    assert [opened(base64.b64decode(one)).size for one in pictures] == [(96, 96)] * 8
    assert "**sharpness 91.2**" in sheet and "Caption 7." in sheet


def test_the_last_line_of_a_sheet_is_filled_up():
    lines = contact_sheet([{"image": photo(), "caption": "x", "note": None}] * 5, columns=3).splitlines()
    assert [line.count("|") for line in lines] == [4] * 5


def test_a_sheet_without_rows_says_so():
    assert contact_sheet([]) == "*no rows*"


@pytest.mark.parametrize(
    "caption",
    [
        "a | b || c",
        "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "[click](https://example.org) ![x](http://example.org/x.png)",
        "`code` *bold* _it_ ~~no~~ # head\n| --- |\n> quote",
        "line\r\nbreak\u2028separator\u0000\x1b[31m\u202eright to left",
        "www.example.org http://example.org &lt;b&gt;",
        "\\| \\` \\<",
    ],
)
def test_markdown_and_html_in_a_caption_are_shown_and_not_obeyed(caption):
    sheet = contact_sheet([{"image": photo(), "caption": caption, "note": caption}], columns=1)
    body = re.sub(r"!\[\]\(data:image/jpeg;base64,[^)]+\)", "", sheet)
    assert len(sheet.splitlines()) == 3
    text = body.splitlines()[-1].removeprefix("| ").removesuffix(" |").replace("**", "")
    assert not set(text) & set("|<>`[]\\*_\u2028\u202e\x00\x1b")
    assert "://" not in text and "www." not in text and "&lt;" not in text.replace("&amp;lt;", "")


def test_a_long_caption_is_cut_with_an_ellipsis_and_never_inside_an_escape():
    text = escaped("|" * 500)
    assert text == "&#124;" * 119 + "…"
    assert escaped("short") == "short"


def test_a_picture_that_cannot_be_read_says_so_and_keeps_its_row():
    sheet = contact_sheet(
        [{"image": b"broken", "caption": "Still here.", "note": None}, {"image": photo(), "caption": ""}]
    )
    assert "*not readable*" in sheet and "Still here." in sheet and "*no caption*" in sheet


@pytest.mark.parametrize(
    ("size", "kind"), [((1000, 40), "PNG"), ((20, 300), "WEBP"), ((3, 3), "GIF"), ((4000, 3000), "JPEG")]
)
def test_thumbnails_have_one_size_whatever_the_picture(size, kind):
    assert opened(thumbnail(photo(1, size, kind))).size == (96, 96)


@pytest.mark.parametrize(
    "values",
    [np.random.RandomState(0).rand(10_000) * 100, np.arange(100.0), [50.0], [], [math.nan] * 3, [-5.0, 500.0]],
)
def test_a_histogram_is_shown_inline(values):
    text = histogram_markdown(values)
    assert text.startswith("![histogram](data:image/png;base64,") and len(text) < 1000
    image = opened(histogram_png(values))
    assert image.size == (240, 60) and len(set(image.convert("RGB").getdata())) <= 5


def test_the_bars_of_a_histogram_stand_where_the_values_are():
    def bars(values: list[float]) -> list[int]:
        pixels = np.asarray(opened(histogram_png(values)).convert("RGB")).astype(int)
        blue = (pixels[:46] == (79, 124, 172)).all(axis=2)
        return np.flatnonzero(blue.any(axis=0)).tolist()

    low, high = bars([10.0] * 9 + [60.0]), bars([90.0] * 9 + [60.0])
    assert min(low) < 40 and max(low) < 160 and min(high) > 130 and max(high) > 200
    assert bars([]) == []


def test_scores_are_told_by_the_same_names_for_every_scorer():
    values = np.array([*range(101), math.nan, math.nan], dtype=np.float32)
    states = [0] * 101 + [2, None]
    numbers = score_numbers(values, states)
    assert numbers["mean"] == numbers["p50"] == 50 and numbers["p05"] == 5 and numbers["p95"] == 95
    assert (numbers["null_fraction"], numbers["rows"], numbers["failed"]) == (round(2 / 103, 6), 103, 1)
    assert set(numbers) == {"mean", "p05", "p50", "p95", "null_fraction", "rows", "failed"}
    assert all(type(number) in (int, float) for number in numbers.values())


def test_numbers_of_a_batch_without_scores_leave_the_averages_out():
    assert score_numbers([math.nan], np.array([1], dtype=np.uint8)) == {"null_fraction": 1.0, "rows": 1, "failed": 1}
    assert score_numbers([], []) == {"null_fraction": 0.0, "rows": 0, "failed": 0}


def test_a_falling_loss_is_drawn_as_a_falling_line():
    image = opened(curve_png([(step, 3 * math.exp(-step / 20)) for step in range(100)], "Loss", "loss"))
    assert image.size == (640, 320)
    pixels = np.asarray(image.convert("RGB")).astype(int)[48:276, 66:]
    blue = (pixels[..., 2] - pixels[..., 0]) > 80
    heights = [np.flatnonzero(blue[:, x]).mean() for x in (5, 100, 250, 500)]
    assert heights == sorted(heights) and heights[-1] - heights[0] > 120


@pytest.mark.parametrize(
    "points", [[], [(1, 2.5)], [(0, 1.0), (0, 1.0)], [(0, math.nan), (1, math.inf)], [(0, -3), (9, 1e9)]]
)
def test_a_curve_of_few_or_odd_points_is_still_drawn(points):
    text = curve_markdown(points, "Loss", "loss")
    assert text.startswith("![curve](data:image/png;base64,") and len(text) < 20_000


def test_axis_labels_are_round_numbers_that_cover_the_values():
    assert ticks(0.13, 3.4) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert ticks(0, 745, 8) == [0, 100, 200, 300, 400, 500, 600, 700, 800]
    assert ticks(5, 5)[0] < 5 < ticks(5, 5)[-1]
