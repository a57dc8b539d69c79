"""Which pictures are copies of each other. The hash is made here, row by row; which rows it links is found across the
whole table, by compute/duplicates.py."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from lance_assets.scoring.api import Item, ScoreFailure, Scorer, ScorerConfig
from lance_assets.scoring.known import register
from lance_assets.scoring.outcome import failure_of
from lance_assets.scoring.perceptual_hash import perceptual_hash

MAX_RADIUS = 15


class DuplicateConfig(ScorerConfig):
    radius: int = Field(8, ge=0, le=MAX_RADIUS, description="bits of 256 in which near-duplicates may differ")


@register
class Duplicate(Scorer):
    """Exact duplicates have the same bytes; near-duplicates have hashes that differ in at most `radius` bits.

    Measured at 8 bits: of re-encoded (quality 85, 60), resized (0.5x, 1.5x) and brightened copies of photos 96 to 100 %
    are found, of game frames all; photos of different things differ in 24 bits or more, nine of ten frames of a game
    too. Copies cropped by 2 % differ in about 18 bits and are not found.
    """

    name = "duplicate"
    version = "1"
    fields = ("image",)
    description = "The first picture that this one is a copy of, exact or near, and the content groups that it links"
    unit = "a hash of 256 bits, the id of the first one, the bits in which they differ, and group keys"
    across = True
    Config = DuplicateConfig
    config: DuplicateConfig

    @property
    def by(self) -> str:
        """How a cell was made, for people and for the index: cells of other hashes or radii cannot be compared."""
        return f"phash-{self.version}/{self.config.radius}"

    def hashes(self, items: Sequence[Item]) -> list[bytes | ScoreFailure | None]:
        """32 bytes per item; None where it is too flat to have a hash."""
        return [_hash(item) for item in items]

    def score(self, items: Sequence[Item]) -> list[float | ScoreFailure]:
        raise NotImplementedError("duplicates are found across the whole table, not in a pass over some rows")


def _hash(item: Item) -> bytes | ScoreFailure | None:
    try:
        return perceptual_hash(item.data)
    except Exception as error:  # the row fails alone
        return failure_of(error)
