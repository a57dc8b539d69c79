"""The two-turn conversation that a captioned image is trained as."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

#: The user turn; `<image>` is where LLaMA-Factory puts the image tokens.
PROMPT = "<image>Describe this image."

_TAG = re.compile(r"<(image|video|audio)>")


def messages(caption: str) -> list[dict[str, str]]:
    """[{role: user, content: PROMPT}, {role: assistant, content: caption}]. A media tag inside the caption loses its
    brackets: LLaMA-Factory counts tags and would look for a second image."""
    return [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": _TAG.sub(r"\1", caption)}]


def caption_of(messages: Iterable[Mapping[str, str]]) -> str:
    """The content of the first assistant turn; empty when there is none."""
    return next((turn["content"] for turn in messages if turn["role"] == "assistant"), "")
