"""The conversation that an image is trained with: made of a caption, or as the source gives it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lance_assets.ingest.captions import parse_literal, unicode_text

#: The user turn; `<image>` is where LLaMA-Factory puts the image tokens.
PROMPT = "<image>Describe this image."
IMAGE = "<image>"

_TAG = re.compile(r"<(image|video|audio)>")
#: All brackets around it, too: <<image>> must not become <image>.
_BRACKETS = re.compile(r"<+(image|video|audio)>+")
#: Of Qwen and others: <|image_pad|> is a place for a piece of an image, <|im_end|> ends a turn.
_TOKENS = re.compile(r"<+(\|[^<>|\s]+\|)>+")
#: Who speaks, in the words of OpenAI and of sharegpt.
_ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}
_IMAGE_PARTS = ("image", "image_url")


class BadConversation(ValueError):
    """A conversation that cannot be trained on. `reason` is bad_conversation or multi_image."""

    def __init__(self, detail: str, reason: str = "bad_conversation") -> None:
        super().__init__(detail)
        self.reason = reason


def messages(caption: str) -> list[dict[str, str]]:
    """[{role: user, content: PROMPT}, {role: assistant, content: caption}]. A media tag inside the caption loses its
    brackets: LLaMA-Factory counts tags and would look for a second image; so do a tokenizer's special tokens."""
    return [_turn("user", PROMPT), _turn("assistant", _without_tags(caption))]


def caption_of(messages: Iterable[Mapping[str, str]]) -> str:
    """The content of the first assistant turn; empty when there is none."""
    return next((turn["content"] for turn in messages if turn["role"] == "assistant"), "")


def parse_conversation(value: Any) -> list[dict[str, str]]:
    """The turns [{role, content}] of a conversation about one image.

    Layouts: [{role, content}], the content text or OpenAI's parts; sharegpt's [{from, value}]; either as JSON. The rule
    is LLaMA-Factory's: perhaps a system turn, then user and assistant in turn, an answer last. One `<image>` in a user
    turn is kept where it is; where there is none it opens the first one; media tags elsewhere lose their brackets, and
    so do special tokens everywhere. Raises BadConversation, naming the turn, counted from 1.
    """
    given = parse_literal(value) if isinstance(value, str) else value
    if not isinstance(given, list) or not given:
        raise BadConversation("the conversation is not a list of turns" if given != [] else "it has no turns")
    turns = [_parsed(turn, number) for number, turn in enumerate(given, 1)]
    start = 1 if turns[0]["role"] == "system" else 0
    for place, turn in enumerate(turns[start:]):
        wanted = ("user", "assistant")[place % 2]
        if turn["role"] != wanted:
            raise BadConversation(f"turn {place + start + 1} is of the {turn['role']}, where the {wanted}'s is due")
    if turns[-1]["role"] != "assistant":
        raise BadConversation(f"turn {len(turns)}, the last, is not the assistant's")
    return _with_one_image(turns, start)


def _parsed(turn: Any, number: int) -> dict[str, str]:
    if not isinstance(turn, Mapping):
        raise BadConversation(f"turn {number} is no object with role and content")
    said, content = (turn.get(names[0]) or turn.get(names[1]) for names in (("role", "from"), ("content", "value")))
    role = _ROLES.get(said) if isinstance(said, str) else None
    if role is None:
        raise BadConversation(f"turn {number} is of {str(said)[:40]!r}, not of system, user or assistant")
    if isinstance(content, list):
        content = "".join(_part(part, number) for part in content)
    if not isinstance(content, str) or not content.strip():
        raise BadConversation(f"turn {number} has no text")
    text = unicode_text(content)
    return _turn(role, without_tokens(text) if role == "user" else _without_tags(text))


def _part(part: Any, number: int) -> str:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind in _IMAGE_PARTS:
        return IMAGE
    if kind == "text" and isinstance(text := part.get("text"), str):
        return text
    raise BadConversation(f"turn {number} has a part of type {str(kind)[:40]!r}, not text or image")


def _with_one_image(turns: list[dict[str, str]], start: int) -> list[dict[str, str]]:
    images = 0
    for number, turn in enumerate(turns, 1):
        if turn["role"] == "user":
            tags = _TAG.findall(turn["content"])
            if other := next((tag for tag in tags if tag != "image"), None):
                raise BadConversation(f"turn {number} shows {other}, only images can be stored")
            images += len(tags)
    if images > 1:
        raise BadConversation(f"the conversation shows {images} images", "multi_image")
    if not images:
        turns[start]["content"] = IMAGE + turns[start]["content"]
    return turns


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def without_tokens(text: str) -> str:
    """Text in which no tokenizer finds a special token: <|im_end|> becomes |im_end|."""
    return _TOKENS.sub(r"\1", text)


def _without_tags(text: str) -> str:
    return without_tokens(_BRACKETS.sub(r"\1", text))
