"""caption_quality on captions whose worth is known."""

from __future__ import annotations

import pytest

from lance_assets.scoring.api import Item
from lance_assets.scoring.caption_quality import CaptionQuality
from lance_assets.scoring.words import terms, words

DEMO = (
    "The player stands on grass, facing left towards a tree. There is a cow above and to the right of the player. "
    "The view shows mostly grass with tree. It is daytime. Health 9, food 7, drink 6, energy 9. Inventory: 3 wood."
)
THRESHOLD = 40
"""The platform's default filter trains on captions from here on."""


def score(caption: str, missing: bool = False) -> float:
    (value,) = CaptionQuality().score([Item("a", caption, missing)])
    assert isinstance(value, float)
    return value


@pytest.mark.parametrize(
    "caption",
    [
        DEMO,
        "Two children are playing football in a park.",
        "一只猫坐在沙发上，望着窗外的雨。",
        "Ein alter Mann füttert die Tauben vor dem Bahnhof.",
        'A sign at the gate reads "Closed on Mondays."',
        "The image shows a street with many people walking. The sky is blue and there are a few clouds.",
        "A plate of cookies lies on a table beside a glass of milk.",
        "A sign in the window says that the shop is open.",
        "A woman reads more than one book at her desk.",
    ],
)
def test_good_captions_score_high(caption):
    assert score(caption) >= 70


@pytest.mark.parametrize(
    "caption",
    [
        "",
        "   \n ",
        "IMG_2034.JPG",
        "DSC_0042",
        "P1020304.jpg",
        "20240102_103022",
        "Screenshot 2024-01-02 at 10.30.22",
        "image of",
        "photo",
        "Untitled",
        "Stock photo",
        "图片",
        "n/a",
        "https://example.org/cat.jpg",
        "!!! ???",
        "We use cookies to improve your experience on our site.",
        "© 2020 Example Images. All rights reserved.",
        "Click here to see the full size picture of this cat.",
        "Please enable JavaScript to view this page.",
        "#cat #dog #cute",
        "stock-photo-12345.jpg",
        "版权所有，未经授权不得转载。",
    ],
)
def test_captions_that_say_nothing_score_nothing(caption):
    assert score(caption) == 0


@pytest.mark.parametrize(
    "caption",
    [
        "dog",
        "Stock photo of a cat",
        "a photo",
        "cat cat cat cat cat cat cat cat cat cat.",
        "好看好看好看好看好看好看。",
        "beautiful sunset wallpaper sunset wallpaper sunset wallpaper sunset wallpaper sunset wallpaper.",
        "1920x1080 4K 60 FPS 16:9 8/10 #1 2024-05-01 12:30 100% 42",
        "The man in the red coat walks along the",
        "A wide river runs through the valley, with ...",
        "Image result for red shoes",
        "A cat. Add to cart. Share on Facebook. Subscribe now for more cats.",
        "Ein alter Mann fÃ¼ttert die Tauben vor dem Bahnhof.",
        "A grey cat sleeps on a \ufffd\ufffd bench in the sun.",
        "<p>A grey <b>cat</b></p>&nbsp;<br/>",
    ],
)
def test_poor_captions_stay_below_the_default_filter(caption):
    assert score(caption) < THRESHOLD


def test_a_missing_caption_scores_nothing_though_a_default_text_stands_in_for_it():
    assert score("Please describe the content of this image in detail.", missing=True) == 0


def test_a_true_caption_cut_anywhere_inside_a_sentence_stays_below_the_default_filter():
    inside = [end for end in range(60, len(DEMO)) if DEMO[end - 1] not in ".!?" and DEMO[end - 2 : end] != ". "]
    assert len(inside) > 100
    assert [DEMO[:end] for end in inside if score(DEMO[:end]) >= THRESHOLD] == []


def test_boilerplate_costs_more_the_less_is_said_beside_it():
    bare = score("Stock photo of a cat.")
    told = score("Stock photo of a grey cat that sleeps on a wooden bench in the afternoon sun.")
    plain = score("A grey cat sleeps on a wooden bench in the afternoon sun.")
    assert bare < told < plain


def test_more_words_score_higher_up_to_the_full_length():
    values = [score(text) for text in ("Dogs run.", "Two dogs run fast.", "Two brown dogs run fast along the beach.")]
    assert values == sorted(values) and values[0] < THRESHOLD and values[-1] == 100


def test_spacing_and_line_breaks_do_not_matter():
    assert score(DEMO.replace(" ", "  \n")) == score(DEMO)


def test_a_huge_caption_is_scored_in_reasonable_time():
    assert 0 <= score("photo of " * 20_000) < THRESHOLD


def test_words_are_latin_words_and_single_chinese_characters():
    assert words("Don't pet the 2 Käfer_x, 猫坐!") == ["don't", "pet", "the", "2", "käfer", "x", "猫", "坐"]
    assert terms("a b c") == ["a", "b", "c", "a b", "b c"]
