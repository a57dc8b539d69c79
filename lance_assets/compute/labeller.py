"""Scorers that a promoted checkpoint of this platform does: how likely a caption is, and captions where there are none.

They live here because they need both the scorer API and the training room, which do not know each other.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from lance_assets.errors import BadInput, MissingExtra
from lance_assets.ingest.conversation import PROMPT
from lance_assets.scoring.api import Item, ScoreFailure, Scorer, ScorerConfig, Served, State
from lance_assets.scoring.outcome import failure_of
from lance_assets.training.checkpoint import Checkpoint, trained_pixels
from lance_assets.training.heldout import Example
from lance_assets.training.labeller import labeller_folder, promotion_of


class LabellerConfig(ScorerConfig):
    model_digest: str | None = Field(None, description="of the promoted checkpoint; None = the one promoted last")
    prompt: str = Field(PROMPT, pattern="<image>", description="the user's turn; <image> is where the picture goes")


class Labeller(Scorer):
    """What both have in common: a model that is held by Ray Serve, loaded once from models/labeller/<digest>."""

    version = "1"
    fields = ("image", "messages", "caption_missing")
    served = Served(batch_rows=20)
    Config = LabellerConfig
    config: LabellerConfig

    def __init__(self, config: ScorerConfig | None = None) -> None:
        super().__init__(config)
        self._checkpoint: Checkpoint | None = None

    def check(self, models: Path) -> None:
        for package in ("torch", "transformers"):
            if find_spec(package) is None:
                raise MissingExtra(package, "train", f"the scorer {self.name}")
        if self.config.model_digest is None:
            raise BadInput(f"score/{self.name} needs a labeller: lance-assets promote --checkpoint DIR --reason TEXT")
        promotion_of(models, self.config.model_digest)

    def load(self, models: Path) -> None:
        self.check(models)
        folder = labeller_folder(models, str(self.config.model_digest))
        self._checkpoint = Checkpoint(folder, trained_pixels(folder))

    def score(self, items: Sequence[Item]) -> list[Any | ScoreFailure]:
        if self._checkpoint is None:
            raise RuntimeError(f"{self.name} was asked before its model was loaded")
        found = [self._example(item) for item in items]
        good = [one for one in found if isinstance(one, Example)]
        values = iter(self._values(self._checkpoint, good) if good else ())
        return [next(values) if isinstance(one, Example) else one for one in found]

    def _example(self, item: Item) -> Example | ScoreFailure:
        """What the model gets of a row, or why it gets nothing: such a row fails alone."""
        if refused := self._refusal(item):
            return ScoreFailure(State.REFUSED, refused)
        try:
            picture = item.image
        except Exception as error:
            return failure_of(error)
        return Example(item.id, [{"role": "user", "content": self.config.prompt}], item.caption, picture)

    @abstractmethod
    def _refusal(self, item: Item) -> str | None:
        """Why a row is none of its business."""

    @abstractmethod
    def _values(self, checkpoint: Checkpoint, examples: list[Example]) -> list[Any]:
        """One value for each."""


class CaptionLikelihood(Labeller):
    """How likely a caption is, given its picture, by the promoted checkpoint: 100 times the geometric mean of the
    probabilities of its tokens (the inverse of the perplexity). Compare values of one model only."""

    name = "caption_likelihood"
    description = "How likely the caption is, given the picture, by the promoted checkpoint"
    unit = "0..100 = 100 / perplexity, higher is better"

    def _refusal(self, item: Item) -> str | None:
        return "the row has no caption" if item.caption_missing or not item.caption.strip() else None

    def _values(self, checkpoint: Checkpoint, examples: list[Example]) -> list[float]:
        losses = checkpoint.losses(examples)
        return [round(100 * math.exp(-total / max(1, tokens)), 4) for total, tokens in losses]


class DraftedCaption(Labeller):
    """A caption by the promoted checkpoint for rows whose source has none; others are refused."""

    name = "drafted_caption"
    description = "A caption by the promoted checkpoint, for rows without one"
    unit = "text"
    type = pa.string()

    def _refusal(self, item: Item) -> str | None:
        return None if item.caption_missing else "the row has a caption of its own"

    def _values(self, checkpoint: Checkpoint, examples: list[Example]) -> list[str]:
        return checkpoint.answers(examples, [example.image for example in examples])
