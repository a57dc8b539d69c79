"""Rows that are conversations already: what passes, in which form, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lance_assets.ingest.conversation import BadConversation, caption_of, messages, parse_conversation
from lance_assets.ingest.rows import PROBLEMS, captions_table
from lance_assets.sources.base import RawRow, SourceFile

FILE = SourceFile("talks.jsonl", "ab" * 32, 10)
Turns = list[tuple[str, Any]]


def openai(turns: Turns) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in turns]


def sharegpt(turns: Turns) -> list[dict[str, Any]]:
    names = {"user": "human", "assistant": "gpt"}
    return [{"from": names.get(role, role), "value": content} for role, content in turns]


PLAIN: Turns = [("user", "<image>What is this?"), ("assistant", "A cow.")]
LONG: Turns = [
    ("system", "You look at pictures."),
    ("user", "Where is it? <image>"),
    ("assistant", "On a meadow."),
    ("user", "And now?"),
    ("assistant", "Still there."),
]


@pytest.mark.parametrize("turns", [PLAIN, LONG])
@pytest.mark.parametrize("layout", [openai, sharegpt])
@pytest.mark.parametrize("written", [lambda talk: talk, json.dumps, str])
def test_both_layouts_pass_as_lists_and_as_text(turns: Turns, layout: Any, written: Any) -> None:
    assert parse_conversation(written(layout(turns))) == openai(turns)


def test_a_picture_that_no_turn_shows_opens_the_first_user_turn() -> None:
    found = parse_conversation(openai([("system", "s"), ("user", "What?"), ("assistant", "A cow.")]))
    assert [turn["content"] for turn in found] == ["s", "<image>What?", "A cow."]


def test_the_parts_of_openai_become_one_text() -> None:
    parts = [{"type": "image_url", "image_url": {"url": "http://h/1.jpg"}}, {"type": "text", "text": "What is this?"}]
    assert parse_conversation(openai([("user", parts), ("assistant", [{"type": "text", "text": "A cow."}])])) == openai(
        PLAIN
    )


def test_media_tags_of_an_answer_and_of_the_system_lose_their_brackets() -> None:
    talk = [("system", "An <image> follows."), ("user", "<image>?"), ("assistant", "<<image>> and <video>")]
    found = parse_conversation(openai(talk))
    assert [turn["content"] for turn in found] == ["An image follows.", "<image>?", "image and video"]
    assert json.dumps(messages("<<image>>")).count("<image>") == 1


def test_special_tokens_lose_their_brackets_in_every_turn() -> None:
    talk = [("system", "s<|im_end|>"), ("user", "<image><|image_pad|>?"), ("assistant", "<<|im_end|>> a <b> | <|c")]
    found = parse_conversation(openai(talk))
    assert [turn["content"] for turn in found] == ["s|im_end|", "<image>|image_pad|?", "|im_end| a <b> | <|c"]
    assert messages("A cow.<|vision_end|><|<image>|>")[1]["content"] == "A cow.|vision_end||image|"


def test_half_a_letter_becomes_the_replacement_character() -> None:
    found = parse_conversation(openai([("user", "\ud83d?"), ("assistant", "\udc00")]))
    assert [turn["content"] for turn in found] == ["<image>\ufffd?", "\ufffd"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "it has no turns"),
        ("[]", "it has no turns"),
        ("hello", "not a list of turns"),
        ({"role": "user"}, "not a list of turns"),
        (7, "not a list of turns"),
        (["hello"], "turn 1 is no object"),
        (openai([("user", "a")]), "turn 1, the last, is not the assistant's"),
        (openai([*PLAIN, ("user", "a")]), "turn 3, the last, is not the assistant's"),
        (openai([("system", "a")]), "turn 1, the last, is not the assistant's"),
        (openai([("assistant", "a"), ("user", "b")]), "turn 1 is of the assistant, where the user's is due"),
        (openai([("user", "a"), ("user", "b")]), "turn 2 is of the user, where the assistant's is due"),
        (openai([*PLAIN, ("system", "s")]), "turn 3 is of the system, where the user's is due"),
        (openai([("user", " \n"), ("assistant", "b")]), "turn 1 has no text"),
        (openai([("user", "a"), ("assistant", None)]), "turn 2 has no text"),
        (openai([("system", ""), *PLAIN]), "turn 1 has no text"),
        (openai([("user", "a"), ("tool", "b")]), "turn 2 is of 'tool', not of system, user or assistant"),
        ([{"role": ["user"], "content": "a"}], "turn 1 is of "),
        ([{"text": "a"}], "turn 1 is of 'None'"),
        (openai([("user", "<video>?"), ("assistant", "b")]), "turn 1 shows video"),
        (openai([("user", "<image>?"), ("assistant", "b"), ("user", "<audio>"), ("assistant", "c")]), "turn 3 shows"),
        (openai([("user", [{"type": "video"}]), ("assistant", "b")]), "turn 1 has a part of type 'video'"),
        (openai([("user", [{"type": "text"}]), ("assistant", "b")]), "turn 1 has a part of type 'text'"),
        (openai([("user", ["a"]), ("assistant", "b")]), "turn 1 has a part of type 'None'"),
        (openai([("user", []), ("assistant", "b")]), "turn 1 has no text"),
    ],
)
def test_a_broken_conversation_is_refused_and_the_turn_named(value: Any, words: str) -> None:
    with pytest.raises(BadConversation) as caught:
        parse_conversation(value)
    assert words in str(caught.value) and caught.value.reason == "bad_conversation"


@pytest.mark.parametrize(
    "talk",
    [
        [("user", "<image><image>?"), ("assistant", "b")],
        [("user", "<image>?"), ("assistant", "b"), ("user", "<image>"), ("assistant", "c")],
        [("user", [{"type": "image"}, {"type": "text", "text": "<image>"}]), ("assistant", "b")],
    ],
)
def test_several_pictures_are_multi_image(talk: Turns) -> None:
    with pytest.raises(BadConversation) as caught:
        parse_conversation(openai(talk))
    assert caught.value.reason == "multi_image" and "2 images" in str(caught.value)


def test_a_row_that_is_a_conversation_keeps_it_and_its_first_answer_is_the_caption() -> None:
    url = "http://h/1.jpg"
    rows = [
        RawRow(0, url, "not used", messages=sharegpt(LONG), licence=" CC-BY-4.0 "),
        RawRow(1, url, "a cow"),
        RawRow(2, url, None, messages=openai([("user", "a")])),
        RawRow(3, url, None, messages=openai([("user", "<image><image>"), ("assistant", "b")])),
        RawRow(4, ["a.jpg", "b.jpg"], None, messages=openai(PLAIN)),
    ]
    first, plain, broken, several, many = captions_table("s", "", FILE, rows).to_pylist()
    assert first["messages"] == openai(LONG) and first["caption"] == "On a meadow." and not first["caption_missing"]
    assert caption_of(first["messages"]) == first["caption"] and first["licence"] == "CC-BY-4.0"
    assert plain["messages"] is None and plain["caption"] == "a cow" and plain["licence"] is None
    assert broken["problem"] == "bad_conversation" and broken["messages"] is None
    assert broken["detail"] == "row 2 of talks.jsonl: turn 1, the last, is not the assistant's"
    assert [row["problem"] for row in (first, plain, several, many)] == [None, None, "multi_image", "multi_image"]
    assert {row["problem"] for row in (broken, several, many)} <= PROBLEMS


def test_llamafactory_accepts_what_passes_and_skips_what_does_not() -> None:
    converter = pytest.importorskip("llamafactory.data.converter", reason="needs the extra train")
    from llamafactory.data.parser import DatasetAttr

    from lance_assets.training.launch import ENTRY

    attribute = DatasetAttr("file", "t")
    attribute.join(ENTRY)
    convert = converter.SharegptDatasetConverter(attribute, None)
    for turns in (PLAIN, LONG):
        found = convert({"messages": parse_conversation(sharegpt(turns)), "image": None})
        spoken = [turn for turn in openai(turns) if turn["role"] != "system"]
        assert [*found["_prompt"], *found["_response"]] == spoken
        assert found["_system"] == next((text for role, text in turns if role == "system"), "")
    for turns in ([("assistant", "a"), ("user", "b")], [("user", "a")], [*PLAIN, ("system", "s"), ("assistant", "b")]):
        assert convert({"messages": openai(turns), "image": None})["_response"] == []
        with pytest.raises(BadConversation):
            parse_conversation(openai(turns))
