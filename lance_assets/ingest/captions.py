"""What a caption column may hold, and the caption inside it."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from typing import Any

#: Stands in for a caption that is missing; such rows are marked `caption_missing`.
DEFAULT_CAPTION = "An image."

#: literal_eval needs many times the memory of its input; real segment captions are a few thousand characters.
MAX_DICT_CHARS = 200_000

_KEY = "global_caption"


def parse_caption(value: Any) -> str | None:
    """The caption in one cell, stripped, or None when there is none.

    Layouts: a plain string (`global_caption`); `cap_seg` as a dict, as a JSON string, or as a Python dict written as a
    string, of which the entry "global_caption" counts. A string in braces that is no dict stays a plain caption, unless
    it mentions "global_caption": then it is a broken `cap_seg`, and its source text must not become a training target,
    so None. Anything else (numbers, lists, NaN) is None. Half surrogates become U+FFFD, since Arrow text is UTF-8.
    """
    if isinstance(value, Mapping):
        value = value.get(_KEY)
        return _clean(value) if isinstance(value, str) else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if not (text.startswith("{") and text.endswith("}")):
        return _clean(text)
    parsed = _parse_dict(text)
    if parsed is not None:
        return parse_caption(parsed)
    return None if _KEY in text else _clean(text)


def _clean(text: str) -> str | None:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").strip() or None


def _parse_dict(text: str) -> dict[Any, Any] | None:
    """JSON first, then Python's literal syntax, which can only build plain values; None for neither."""
    if len(text) > MAX_DICT_CHARS:
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            parsed = parse(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if isinstance(parsed, dict):
            return parsed
    return None
