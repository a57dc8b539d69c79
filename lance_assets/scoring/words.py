"""Captions as words: Latin and other spaced scripts by word, Chinese, Japanese and Korean by character."""

from __future__ import annotations

import re
from itertools import pairwise

# CJK ideographs with extensions, kana, hangul: scripts without (reliable) spaces between words
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+(?:['’][^\W_{_CJK}]+)*")
_ONE_CJK = re.compile(f"[{_CJK}]")


def words(text: str) -> list[str]:
    """Lower-case words of a text, in order; a CJK character is a word; punctuation is dropped."""
    return _WORD.findall(text.lower())


def is_cjk(word: str) -> bool:
    return _ONE_CJK.match(word) is not None


def terms(text: str) -> list[str]:
    """The words of a text and its pairs of neighbours, joined by a space."""
    single = words(text)
    return single + [f"{left} {right}" for left, right in pairwise(single)]
