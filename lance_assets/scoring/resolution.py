"""How large a picture is, and how far its shape is from a square."""

from __future__ import annotations

import math

from pydantic import Field

from lance_assets.scoring.api import Item, RowScorer, ScoreFailure, ScorerConfig, State
from lance_assets.scoring.known import register


class ResolutionConfig(ScorerConfig):
    low: int = Field(32, ge=1, le=256, description="pixels of the shorter side up to which a picture scores 0")
    high: int = Field(1024, gt=256, description="pixels of the shorter side from which size costs nothing")
    ratio: float = Field(3.0, ge=1, description="longer over shorter side up to which shape costs nothing")


@register
class Resolution(RowScorer):
    """score = 100 * size * shape, each 0..1, from width and height alone: no image is read.

    `size` = log(shorter / low) / log(high / low), within 0..1: each doubling of the shorter side is worth the same, as
    it is to a model that sees a picture in patches. `shape` = ratio / (longer / shorter), at most 1: a strip loses most
    of its detail when it is resized. The bounds are after the basic filter of DataComp (Gadre et al., "DataComp: In
    search of the next generation of multimodal datasets", NeurIPS 2023), which drops pictures with a shorter side
    under 200 pixels (53 here) or a ratio over 3. Thumbnails 20 to 45, 512 x 512 80, from 1024 x 1024 on 100. CPU: 0.01
    ms.
    """

    name = "resolution"
    version = "1"
    fields = ("width", "height")
    description = "Pixels of the shorter side on a log scale, less for strips: 0 an icon, 100 from 1024 x 1024 on"
    Config = ResolutionConfig
    config: ResolutionConfig

    def score_one(self, item: Item) -> float:
        if not item.width or not item.height:
            raise ScoreFailure(State.FAILED_PERMANENT, "the row has no width and height")
        return resolution(item.width, item.height, self.config)


def resolution(width: int, height: int, config: ResolutionConfig) -> float:
    """The score of a picture of this many pixels."""
    shorter, longer = sorted((width, height))
    size = math.log(shorter / config.low) / math.log(config.high / config.low)
    return 100.0 * min(1.0, max(0.0, size)) * min(1.0, config.ratio * shorter / longer)
