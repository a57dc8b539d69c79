"""The small Markdown tables and charts of asset pages: inline where they can be, untrusted texts not obeyed."""

import base64
import io
import math

import pytest
from PIL import Image

from lance_assets.preview.comparison import LINES, comparison_markdown
from lance_assets.preview.rejects import rejects_markdown
from lance_assets.preview.selection import makers_markdown, promotions_markdown, selection_markdown
from lance_assets.preview.sheet import LARGEST, contact_sheet, thumbnail
from lance_assets.preview.sparkline import sparkline_markdown, sparkline_png
from lance_assets.preview.verdict import against_base_markdown

INLINE = 1000
"""Characters that the UI shows without a dialog."""
EVENT = 64_000
EVIL = "a | b <img src=x> [c](http://example.org) `d`"
MANIFEST = {
    "rows": {"train": 432, "test": 48},
    "filter": "score_caption_quality >= 40",
    "version": 12,
    "tag": "sft-0123456789ab",
    "excluded": {"bridges_split": 3, "duplicates": 0},
}


def noise(side: int) -> bytes:
    """The picture whose thumbnail takes most bytes."""
    out = io.BytesIO()
    Image.effect_noise((side, side), 200).convert("RGB").save(out, "PNG")
    return out.getvalue()


def test_twelve_of_the_busiest_pictures_fit_into_one_event():
    assert len(thumbnail(noise(96))) <= LARGEST
    assert len(contact_sheet([{"image": noise(96), "caption": "x" * 200, "note": None}] * 12)) < EVENT


@pytest.mark.parametrize(
    "values", [[3 * math.exp(-step / 40) for step in range(500)], [1.0], [], [math.nan, 2.0, 2.0], [5.0, -5.0]]
)
def test_a_sparkline_is_shown_inline(values):
    assert len(sparkline_markdown(values, "training loss")) < INLINE
    with Image.open(io.BytesIO(sparkline_png(values, "training loss")), formats=("PNG",)) as image:
        assert image.size == (240, 60)


def test_a_falling_loss_falls_from_left_to_right():
    png = base64.b64decode(sparkline_markdown([10.0 - step for step in range(10)], "x").partition(",")[2][:-1])
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        pixels = image.convert("RGB")
    tops = [next(y for y in range(46) if pixels.getpixel((x, y)) == (38, 103, 172)) for x in (10, 120, 230)]
    assert tops == sorted(tops) and tops[2] - tops[0] > 30


def test_rejects_are_told_by_reason_most_frequent_first():
    rows = [{"reason": "http_404", "transient": False, "image_url": "http://x/1.png", "detail": "not found"}]
    rows += [{"reason": "timeout", "transient": True, "image_url": EVIL, "detail": EVIL}] * 2
    lines = rejects_markdown(rows).splitlines()
    assert lines[2].startswith("| timeout (may pass) | 2 |") and lines[3].startswith("| http&#95;404 (final) | 1 |")
    assert all(line.count("|") == 4 for line in lines) and "<img" not in lines[2] and "](" not in lines[2]
    assert "://" not in lines[3] and "1.png: not found" in lines[3]
    assert rejects_markdown([]) == "*none*"


def test_a_training_set_is_told_in_a_few_words():
    text = selection_markdown(MANIFEST)
    assert "**432 rows train, 48 are held out**, of Lance version 12" in text and "3 bridges&#95;split" in text
    assert "duplicates" not in text and len(text) < INLINE
    assert "every row" in selection_markdown(MANIFEST | {"filter": None})


def test_a_filter_and_a_reason_cannot_break_out_of_their_place():
    assert "`a '' b`" in selection_markdown(MANIFEST | {"filter": "a '' b"})
    assert selection_markdown(MANIFEST | {"filter": "a ` b"}).count("`") == 2
    promoted = {"column": "score_x", "time": "now", "by": EVIL, "reason": EVIL, "verdicts": [{}]}
    (line,) = promotions_markdown([promoted]).splitlines()[2:]
    assert line.count("|") == 6 and "<img" not in line


def test_every_maker_of_a_column_is_a_line():
    made = [{"version": "1", "config_hash": "c0"}, {"version": "2", "config_hash": "c1"}]
    assert len(makers_markdown({"score_x": made}).splitlines()) == 4


def test_a_comparison_shows_what_was_found_beside_its_limit():
    report = {"rows": 40, "psi": 0.31, "limits": {"psi": 0.25, "crossing_share": 0.05}, "thresholds": [">= 40.0"]}
    text = comparison_markdown(report)
    assert "| population stability index | 0.31 | &#60;= 0.25 |" in text and "&#62;= 40.0" in text
    assert "correlation" not in text
    everything = {name: 0.123456 for name, _ in LINES} | report | {"thresholds": [">= 40.0", "<= 90.0"]}
    assert len(comparison_markdown(everything)) < INLINE


def test_base_and_tuned_stand_side_by_side():
    result = {
        "rows": 40,
        "loss": {"base": 3.2, "tuned": 1.1},
        "overlap": {"base": 0.1, "tuned": 0.05},
        "beats_base": True,
    }
    text = against_base_markdown(result)
    assert "| 3.200 | 1.100 | **yes** |" in text and "| 0.100 | 0.050 | no |" in text and len(text) < INLINE
