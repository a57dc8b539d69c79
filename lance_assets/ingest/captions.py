"""What a caption column may hold, and the caption inside it."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

#: Stands in for a caption that is missing; such rows are marked `caption_missing`.
DEFAULT_CAPTION = "An image."

#: literal_eval needs many times the memory of its input; real segment captions are a few thousand characters.
MAX_LITERAL_CHARS = 200_000

_KEY = "global_caption"


def parse_caption(value: Any) -> str | None:
    """The caption in one cell, stripped, or None when there is none.

    Layouts: a plain string (`global_caption`); `cap_seg` as a dict, as a JSON string, or as a Python dict written as a
    string, of which the entry "global_caption" counts. A string in braces that is no dict stays a plain caption, unless
    it mentions "global_caption": then it is a broken `cap_seg`, and its source text must not become a training target,
    so None. Anything else (numbers, lists, NaN) is None.
    """
    if isinstance(value, Mapping):
        value = value.get(_KEY)
        return _clean(value) if isinstance(value, str) else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return _clean(text)
    parsed = parse_literal(text)
    if isinstance(parsed, dict):
        return parse_caption(parsed)
    return None if _KEY in text else _clean(text)


def unicode_text(text: str) -> str:
    """The same text, half surrogates as U+FFFD: Arrow text is UTF-8."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def parse_literal(text: str) -> Any:
    """The dict or list that a text writes out as JSON or as Python's literal syntax, which can only build plain values;
    None for neither."""
    for parse in (json.loads, ast.literal_eval):
        if parse is ast.literal_eval and len(text) > MAX_LITERAL_CHARS:
            break
        try:
            parsed = parse(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if isinstance(parsed, dict | list):
            return parsed
    return None


def _clean(text: str) -> str | None:
    return unicode_text(text).strip() or None
