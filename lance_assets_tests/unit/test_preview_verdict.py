"""The tables of an evaluation."""

from lance_assets.preview.verdict import examples_markdown, facts_markdown


def test_each_fact_is_a_row_with_its_shares():
    light = {"rows": 40, "tuned": 0.9, "blank": 0.0, "other": 0.325, "majority": 0.375, "reads": True}
    assert "| light | 40 | 90% | 0% | 32% | 38% | yes |" in facts_markdown({"light": light})


def test_captions_without_known_facts_say_so():
    assert "no fact" in facts_markdown({})


def test_answers_cannot_break_out_of_their_cell():
    shown = examples_markdown([{"truth": "a | b", "base": "<img src=x>", "tuned": "line\nbreak"}])
    (row,) = shown.splitlines()[2:]
    assert row.count("|") == 4 and "<img" not in row
