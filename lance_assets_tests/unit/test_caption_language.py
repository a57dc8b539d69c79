"""Languages of captions, as a column of their own and as a part of caption_quality."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lance_assets.errors import BadInput
from lance_assets.scoring import languages
from lance_assets.scoring.api import Item, ScoreFailure
from lance_assets.scoring.languages import language_of
from lance_assets.scoring.passes import score_items
from lance_assets.scoring.registry import scorers

SAID = {
    "en": "Two children are playing football in a park.",
    "de": "Ein alter Mann füttert die Tauben vor dem Bahnhof.",
    "fr": "Deux enfants jouent au football dans un parc.",
    "es": "Dos niños juegan al fútbol en el parque.",
    "pt": "Duas crianças jogam futebol no parque.",
    "it": "Due bambini giocano a calcio nel parco.",
    "nl": "Twee kinderen spelen voetbal in het park.",
    "pl": "Dwoje dzieci gra w piłkę nożną w parku.",
    "ru": "Двое детей играют в футбол в парке.",
    "zh": "一只猫坐在沙发上，望着窗外的雨。",
    "ja": "猫がソファに座っています。",
    "ko": "고양이가 소파에 앉아 있다.",
    "ar": "طفلان يلعبان كرة القدم",
}
GAME = (
    "The player stands on grass, facing left towards a tree. There is a cow above. Health 9, food 7. Inventory: 3 wood."
)


def quality(caption: str, *wanted: str) -> float | ScoreFailure:
    config = {"caption_quality": {"languages": list(wanted)} if wanted else {}}
    [value] = scorers(["caption_quality"], config)["caption_quality"].score([Item("a", caption)])
    return value


@pytest.mark.parametrize("code", SAID)
def test_a_sentence_is_told_by_its_language(code):
    assert language_of(SAID[code]) == code


def test_captions_of_the_demo_are_english():
    assert language_of(GAME) == "en"


@pytest.mark.parametrize(
    "text", ["", "...", "12:30", "IMG_2034.JPG", "#cat #dog", "https://example.org/the/cat", "dog", "猫"[:0]]
)
def test_what_has_no_language_or_too_few_words_is_undetermined(text):
    assert language_of(text) == "und"


def test_addresses_and_tags_do_not_count():
    assert language_of("Vue sur la mer https://example.org/the-view-of-the-sea-from-the-hill.html #thesea") == "fr"


def test_the_column_holds_codes_and_a_missing_caption_is_undetermined():
    rows = [Item("a", SAID["en"]), Item("b", SAID["zh"]), Item("c", SAID["en"], caption_missing=True)]
    column = score_items(scorers(["caption_language"]), rows)["caption_language"]
    assert column.values.to_pylist() == ["en", "zh", "und"]
    assert column.states.tolist() == [0, 0, 0]


def test_fewer_candidates_are_told_apart_with_fewer_words():
    config = {"caption_language": {"candidates": ["de", "en"], "least": 0.5}}
    [value] = scorers(["caption_language"], config)["caption_language"].score([Item("a", "a red car")])
    assert value == "en" and language_of("a red car") == "und"


def test_an_unknown_language_is_named():
    config = {"caption_language": {"candidates": ["en", "klingon"]}}
    with pytest.raises(BadInput, match=r"klingon.*known are: .*de, .*en"):
        scorers(["caption_language"], config)["caption_language"].load(Path())


def test_caption_quality_keeps_only_the_languages_that_are_asked_for():
    assert quality(SAID["de"]) == quality(SAID["de"], "de") == quality(SAID["de"], "en", "de") == 100
    assert quality(SAID["de"], "en") == 0 and quality(SAID["zh"], "en") == 0
    assert quality("A dog.", "en") == quality("A dog.") != 0  # too short to tell


def test_a_missing_package_is_said_before_any_row_and_only_where_it_is_needed(monkeypatch):
    monkeypatch.setattr(languages, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match="the scorer caption_language needs the package py3langid"):
        scorers(["caption_language"])["caption_language"].check(Path())
    scorers(["caption_quality"])["caption_quality"].check(Path())
    wanted = {"caption_quality": {"languages": ["en"]}}
    with pytest.raises(BadInput, match="languages of the scorer caption_quality needs the package"):
        scorers(["caption_quality"], wanted)["caption_quality"].check(Path())


@pytest.mark.parametrize(
    "text", ["x" * 300_000, "<a" * 100_000, "a." * 100_000, "www." * 50_000, "copyright " * 20_000]
)
def test_a_hostile_caption_takes_no_time(text):
    started = time.process_time()
    value = quality(text, "en")
    assert isinstance(value, float) and value < 40
    assert time.process_time() - started < 10
