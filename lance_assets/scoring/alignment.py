"""Image-text agreement, learnt from the table itself: the scorer, and the door to its model."""

from __future__ import annotations

from pathlib import Path

from lance_assets.errors import BadInput
from lance_assets.scoring.alignment_fit import FIT_VERSION, MAX_ROWS, NothingToLearn, fit_alignment
from lance_assets.scoring.alignment_model import AlignmentModel
from lance_assets.scoring.api import Item, RowScorer, ScoreFailure, ScorerConfig, Served, State
from lance_assets.scoring.known import register

__all__ = [
    "FIT_VERSION",
    "MAX_ROWS",
    "NOTHING",
    "Alignment",
    "AlignmentConfig",
    "AlignmentModel",
    "NothingToLearn",
    "fit_alignment",
    "model_folder",
]


#: As `model_digest`: the fit found nothing to learn (one row, equal captions), so every row is refused until a refit.
NOTHING = "nothing-to-learn"


def model_folder(models: Path, digest: str) -> Path:
    """Where a fitted model lies."""
    return models / "alignment" / digest[:16]


class AlignmentConfig(ScorerConfig):
    model_digest: str | None = None
    """Digest of the fitted model; None until `alignment_model` was materialized. It enters the config hash."""


@register
class Alignment(RowScorer):
    """The probability, in percent, that a caption belongs to its picture and not to another one of the table.

    From a cross-fitted ridge regression of hashed words on picture vectors (alignment_fit.py): it knows only what the
    captions of this table say about its pictures. It sees palette, light and layout, not small digits or faces.
    """

    name = "alignment"
    version = "2"
    fields = ("image", "messages")
    description = (
        "Agreement of caption and picture, learnt from this table: 0 another picture's, 50 unknown, 100 its own"
    )
    unit = "0..100 = probability in percent at even odds, higher is better"
    served = Served()
    Config = AlignmentConfig
    config: AlignmentConfig

    def __init__(self, config: ScorerConfig | None = None, model: AlignmentModel | None = None) -> None:
        super().__init__(config)
        if model is not None and model.digest != self.config.model_digest:
            raise BadInput(f"alignment is configured for the model {self.config.model_digest}, not {model.digest}")
        self.model = model

    def check(self, models: Path) -> None:
        if self.config.model_digest is None:
            raise BadInput("score/alignment needs a model: materialize alignment_model first")

    def load(self, models: Path) -> None:
        digest = self.config.model_digest
        if digest is not None and digest != NOTHING and self.model is None:
            self.model = AlignmentModel.load(model_folder(models, digest))

    @classmethod
    def of(cls, model: AlignmentModel) -> Alignment:
        """The scorer configured for a fitted model and holding it, ready to score."""
        return cls(AlignmentConfig(model_digest=model.digest), model)

    def score_one(self, item: Item) -> float:
        if self.config.model_digest == NOTHING:
            raise ScoreFailure(
                State.REFUSED, "the table has nothing to learn the agreement of picture and caption from"
            )
        if self.model is None:
            raise ScoreFailure(State.FAILED_TRANSIENT, "the alignment model is not fitted or not loaded yet")
        return self.model.score(item)
