from __future__ import annotations

import pytest

from lance_assets.training import facts
from lance_assets.training.facts import DEMO, beats, compiled, verdict
from lance_assets.training.overlap import rouge_l

DAY = (
    "The player stands on grass, facing left towards a tree. There is a cow above and to the right of the player. "
    "It is daytime. Health 9, food 7, drink 6, energy 9. Inventory: 3 wood."
)
NIGHT = DAY.replace("daytime", "night").replace("Health 9", "Health 4").replace("a tree", "water")


KNOWN = compiled(DEMO)


def read_facts(caption: str) -> dict[str, str]:
    return facts.read_facts(caption, KNOWN)


def score_facts(truths: list[str], *answers: list[str]) -> tuple[dict[str, facts.FactScore], dict[str, bool]]:
    return facts.score_facts([KNOWN] * len(truths), truths, *answers)


def test_the_facts_of_a_caption_are_read() -> None:
    assert read_facts(DAY) == {
        "light": "day",
        "ground": "grass",
        "facing": "tree",
        "health": "9",
        "food": "7",
        "energy": "9",
    }
    assert read_facts(NIGHT).items() >= {"light": "night", "health": "4", "facing": "water"}.items()


@pytest.mark.parametrize(
    ("sentence", "what"),
    [
        ("facing up towards the edge of the world.", "the edge of the world"),
        ("facing up towards an arrow.", "arrow"),
        ("facing down towards a plant. There is a cow below.", "plant"),
    ],
)
def test_what_the_player_faces_ends_with_its_sentence(sentence: str, what: str) -> None:
    assert read_facts(sentence)["facing"] == what


def test_a_caption_of_another_data_set_states_no_fact() -> None:
    assert read_facts("A man rides a horse along the beach at dusk.") == {}
    scores, better = score_facts(["A horse."], ["A horse."], ["A cow."], ["A cow."])
    assert (scores, better) == ({}, {})
    assert "none of the screen facts" in verdict(scores, better, 1)


def test_shares_are_counted_against_the_truth_and_the_commonest_answer() -> None:
    truths = [DAY, DAY, NIGHT, NIGHT, NIGHT]
    scores, _ = score_facts(truths, truths, [DAY] * 5, ["It is dusk."] * 5)
    assert scores["light"] == {"rows": 5, "tuned": 1.0, "blank": 0.4, "other": 0.0, "majority": 0.6, "reads": False}


def test_a_win_that_chance_could_explain_is_not_claimed() -> None:
    assert not beats([True] * 4 + [False], [False] * 5)  # 1 in 16
    assert beats([True] * 5, [False] * 5)  # 1 in 32
    assert not beats([True] * 20, [True] * 20)
    assert not beats([False] * 9, [True] * 9)


def test_the_verdict_names_what_is_beaten_and_what_is_not() -> None:
    truths = [DAY, NIGHT] * 6
    tuned = [text.replace("Health 9", "Health 4").replace("a tree", "water") for text in truths]
    sentence = verdict(*score_facts(truths, tuned, [NIGHT] * 12, [NIGHT] * 12), 12)
    assert "beats the blank-image baseline on light (100% against 50%) and does not beat it on ground" in sentence
    assert sentence.endswith("another row on light.")


def test_a_constant_answer_is_not_called_reading_even_where_the_blank_image_confuses_the_model() -> None:
    truths = [DAY] * 9 + [NIGHT] * 3
    scores, better = score_facts(truths, [DAY] * 12, ["nonsense"] * 12, [DAY] * 12)
    assert set(better.values()) == {True}
    assert verdict(scores, better, 12).endswith("has not been shown to read the screen.")


def test_rouge_l_is_the_longest_common_subsequence_against_both_lengths() -> None:
    assert rouge_l("the cat sat", "The cat sat") == 1.0
    assert rouge_l("a b c d", "a x c y") == pytest.approx(0.5)
    assert rouge_l("a b", "a b c d c d") == pytest.approx(2 * 2 / 8)
    assert rouge_l("", "a") == 0.0
    assert rouge_l("b a", "a b") == pytest.approx(0.5)
