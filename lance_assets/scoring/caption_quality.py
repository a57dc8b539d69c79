"""How much a caption is worth as a text, without looking at the picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from pydantic import Field

from lance_assets.scoring.api import Item, RowScorer, ScorerConfig
from lance_assets.scoring.known import register
from lance_assets.scoring.languages import CANDIDATES, UNDETERMINED, check_languages, language_of, load_languages
from lance_assets.scoring.words import is_cjk, words

CJK_PER_WORD = 1.6
"""Chinese words are about 1.6 characters long on average, so a character counts as that much less than a word."""
CUT = 0.35
UNENDED = 0.6
GARBLED = 0.35

FILE_NAME = re.compile(
    r"^\S*\.(jpe?g|png|gif|webp|bmp|tiff?|heic|raw|cr2|nef|dng|svg|mp4)$"
    r"|^(img|dsc[nf]?|pxl|mvimg|dcim|p|vid|wp|screen ?shot|whatsapp image|photo|image|picture|scan|untitled)?"
    r"[-_ #(]*\d[\d\-_ .():]*(at[\d\-_ .():apm]*)?$",
    re.IGNORECASE,
)
#: Addresses, file names, markup, tags and accounts.
NO_WORDS = re.compile(
    r"(https?://|www\.)\S+|[^\s.]{1,100}\.(jpe?g|png|gif|webp|html?)\b|</?\w[^<>]*>|&(\w+|#\d+);|(?<!\w)[#@]\w+",
    re.IGNORECASE,
)
#: What pages say beside every picture, up to the end of the sentence.
PAGE = re.compile(
    r"((we|this (web ?)?site|our (web ?)?site) uses? cookies|accept (all )?cookies"
    r"|cookie (policy|settings|preferences|consent|notice)|privacy policy|terms (of (use|service)|and conditions)"
    r"|©|\(c\) ?\d{4}|copyright|all rights reserved|subscribe (now|to our|here)|sign (up|in) (to|for|now|or)\b"
    r"|add to (cart|basket|wishlist)|(click|tap) (here|to (enlarge|view|zoom|download|see))"
    r"|(share|follow us) on (facebook|twitter|x|instagram|pinterest|whatsapp)|please enable javascript"
    r"|版权所有|未经授权|点击(查看|下载|放大|这里)|扫码|关注公众号)[^.!?。！？]*",
    re.IGNORECASE,
)
#: UTF-8 that was read as Latin-1, and characters that were lost.
MOJIBAKE = re.compile("Ã[\u0080-\u00bf\u0178-\u2122]|â€|Â[\u00a0-\u00bf]|\ufffd")
BOILERPLATE = re.compile(
    r"\b((this|here) is )?((an?|the|this|my) )?"
    r"((stock|royalty[- ]free|free|close[- ]?up|high[- ]quality) )?"
    r"(image|photo(graph)?|picture|illustration|screenshot)s?"
    r"( (of|shows?|showing|depicts?|depicting|description|caption|credit|by))?\b"
    r"|\b(untitled|no (caption|description|title)|not available|n/a|none|null|placeholder|lorem ipsum"
    r"|stock|royalty[- ]free|shutterstock|getty( images)?|alamy|istock|image result for|read more$|view all$"
    r"|download( now)?|free shipping|buy now|default)\b"
    r"|无标题|暂无描述|图片描述|图片|照片",
    re.IGNORECASE,
)
ENDS = ".!?。！？…"
CLOSERS = "\"'”’)）」』】*"
OPEN_ENDS = ",;:-–—(，、；：（"
LEADS_ON = frozenset(
    words("a an the and or but of in on at to from with by for is are was were be as that which who their his her its")
    + words("this these into onto near next between behind towards over under while")
)


class CaptionQualityConfig(ScorerConfig):
    full_words: int = Field(8, ge=1, description="words (or as much Chinese) from which length costs nothing")
    free_repeats: float = Field(0.2, ge=0, lt=1, description="share of repeated word pairs that costs nothing")
    languages: tuple[str, ...] | None = Field(
        None, min_length=1, description="ISO 639 codes: a caption in another language scores 0; none = any language"
    )


@register
class CaptionQuality(RowScorer):
    """score = 100 * length * plain * letters * variety * ending * intact * language, each part 0..1; no image is read.

    length: words left after boilerplate, over `full_words`, at most 1 (1.6 Chinese characters count as one word).
    plain: share of the words that are not boilerplate ("stock photo of", "untitled", "we use cookies", addresses, file
    names, markup, #tags); 0 for a file name of a camera. letters: share of letters among the visible characters over
    0.7, at most 1. variety: 1 minus the share of repeated word pairs above `free_repeats`. ending: 1 ended by a full
    stop; 0.6 a sentence in capitals without one; 0.35 cut off (an ellipsis, a comma or "the" at the end, or no end
    after ended sentences). intact: 0.35 where characters were lost or misread ("fÃ¼r"). language: 0 for a caption in
    another one than `languages`, if any are given; one that cannot be told, as of two words, costs nothing. Missing or
    empty: 0.

    After the heuristics of C4 (Raffel et al., JMLR 2020: terminal punctuation, boilerplate, cookies and policies), of
    Gopher (Rae et al., arXiv:2112.11446, table A1: repeated n-grams, share of letters) and of Conceptual Captions
    (Sharma et al., ACL 2018: boilerplate and repetition in alt texts). languages.py names the detector. CPU: 0.1 ms,
    0.4 with `languages`.
    """

    name = "caption_quality"
    version = "2"
    fields = ("messages", "caption_missing")
    description = (
        "Text only: 0 missing, file name or boilerplate; low when cut, short or repetitive; 100 a full sentence"
    )
    Config = CaptionQualityConfig
    config: CaptionQualityConfig

    def check(self, models: Path) -> None:
        if self.config.languages is not None:
            check_languages(f"languages of the scorer {self.name}")

    def load(self, models: Path) -> None:
        if self.config.languages is not None:
            load_languages(self._candidates)

    def score_one(self, item: Item) -> float:
        text = " ".join(item.caption.split())
        if item.caption_missing or not text or FILE_NAME.match(text) or not self._wanted(text):
            return 0.0
        parts = caption_parts(text, self.config)
        score = 100.0
        for part in parts.values():
            score *= part
        return score

    def _wanted(self, text: str) -> bool:
        if self.config.languages is None:
            return True
        return language_of(text, self._candidates) in (*self.config.languages, UNDETERMINED)

    @property
    def _candidates(self) -> tuple[str, ...]:
        return (*CANDIDATES, *(self.config.languages or ()))


def caption_parts(text: str, config: CaptionQualityConfig) -> dict[str, float]:
    """The parts of the score of a non-empty caption but its language, each 0..1, by name."""
    every, kept = words(text), words(BOILERPLATE.sub(" ", PAGE.sub(" ", NO_WORDS.sub(" ", text))))
    visible = [c for c in text if not c.isspace()]
    letters = sum(c.isalpha() for c in visible) / len(visible)
    return {
        "length": min(1.0, _amount(kept) / config.full_words),
        "plain": len(kept) / len(every) if every else 0.0,
        "letters": min(1.0, letters / 0.7),
        "variety": _variety(every, config.free_repeats),
        "ending": _ending(text),
        "intact": GARBLED if MOJIBAKE.search(text) else 1.0,
    }


def _amount(tokens: Sequence[str]) -> float:
    chinese = sum(is_cjk(token) for token in tokens)
    return len(tokens) - chinese + chinese / CJK_PER_WORD


def _variety(tokens: Sequence[str], free: float) -> float:
    pairs = list(pairwise(tokens))
    if not pairs:
        return 1.0
    repeated = 1 - len(set(pairs)) / len(pairs)
    return 1 - max(0.0, repeated - free) / (1 - free)


def _ending(text: str) -> float:
    bare = text.rstrip(CLOSERS + " ")
    if not bare or bare.endswith(("...", "…")) or bare[-1] in OPEN_ENDS:
        return CUT
    if bare[-1] in ENDS:
        return 1.0
    tokens = words(bare)
    ended_before = re.search(r"[.!?]\s|[。！？]", bare) is not None
    if ended_before or (tokens and tokens[-1] in LEADS_ON):
        return CUT
    return UNENDED if bare[0].isupper() else 0.8
