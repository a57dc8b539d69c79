"""Which language a caption is in."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pydantic import Field

from lance_assets.scoring.api import Item, RowScorer, ScorerConfig
from lance_assets.scoring.known import register
from lance_assets.scoring.languages import CANDIDATES, UNDETERMINED, check_languages, language_of, load_languages


class CaptionLanguageConfig(ScorerConfig):
    candidates: tuple[str, ...] = Field(CANDIDATES, min_length=1, description="ISO 639 codes that are told apart")
    least: float = Field(0.5, ge=0, le=1, description="probability from which a language counts as told")


@register
class CaptionLanguage(RowScorer):
    """The ISO 639 code of the caption's language ("en", "zh"), "und" where it cannot be told: no letters, too few words
    ("a dog"), or a language that is not among the candidates.

    From the letters and syllables of the text (languages.py names the source); addresses, file names and tags do not
    count. To train on one language, select score_caption_language in ('en', 'und'). CPU: 0.3 ms.
    """

    name = "caption_language"
    version = "1"
    fields = ("messages", "caption_missing")
    description = "Language of the caption as an ISO 639 code; und where it cannot be told"
    unit = "an ISO 639 code, or und"
    type = pa.string()
    Config = CaptionLanguageConfig
    config: CaptionLanguageConfig

    def check(self, models: Path) -> None:
        check_languages(f"the scorer {self.name}")

    def load(self, models: Path) -> None:
        load_languages(self.config.candidates)

    def score_one(self, item: Item) -> str:
        if item.caption_missing:
            return UNDETERMINED
        return language_of(item.caption, self.config.candidates, self.config.least)
