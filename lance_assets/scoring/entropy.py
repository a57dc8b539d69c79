"""How much there is to see in a picture, by its levels of grey."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lance_assets.scoring.api import Item, RowScorer
from lance_assets.scoring.decoding import SHARED_SIZE
from lance_assets.scoring.known import register

#: Entropy of a luma of 8 bits that takes all its levels equally often.
MOST_BITS = 8


@register
class Entropy(RowScorer):
    """score = 100 * H / 8, H = Shannon entropy in bits of the histogram of the luma (256 levels).

    Shannon, "A Mathematical Theory of Communication" (1948); as a measure of a picture: Gonzalez and Woods, "Digital
    Image Processing", section 8.1. One flat colour 0, two colours at most 13, a logo or a diagram below 40, an ordinary
    photo 80 to 97, even noise and smooth gradients up to 100: a filter for blank and nearly blank pictures, not a
    measure of beauty. CPU: 0.9 ms at 1024 px, and the shared decode.
    """

    name = "entropy"
    version = "1"
    fields = ("image",)
    description = "Entropy of the grey levels in percent of 8 bits: 0 one flat colour, 80 to 97 a photo"
    unit = "0..100 = percent of 8 bits, higher is more varied"

    def score_one(self, item: Item) -> float:
        return 100.0 * entropy_bits(item.luma(SHARED_SIZE)) / MOST_BITS


def entropy_bits(luma: NDArray[np.float32]) -> float:
    """Shannon entropy, 0..8 bits a pixel, of a luma of whole numbers 0..255."""
    # Pillow counts bytes as they are; numpy would widen each to 8 bytes first
    counts = np.array(Image.fromarray(luma.astype(np.uint8)).histogram())
    shares = counts[counts > 0] / luma.size
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # + 0.0: not -0.0 for one flat colour
