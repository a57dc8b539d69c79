"""How natural a picture looks: no-reference quality."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lance_assets.errors import BadInput
from lance_assets.scoring.api import Item, RowScorer, ScoreFailure, ScorerConfig, State
from lance_assets.scoring.brisque_features import brisque_features
from lance_assets.scoring.decoding import SHARED_SIZE
from lance_assets.scoring.known import register

#: Support vectors and ranges of the package brisque 0.2.0 (Apache-2.0, copyright 2024 Rehan Guha), as plain arrays: the
#: package itself needs OpenCV, scikit-image, a C++ compiler and a pickle for these numbers.
WEIGHTS = Path(__file__).with_name("brisque.npz")
SHA256 = "8b7975f967f02ba02e6155c0aa3daf57eb1ac7ab589df576b4d1d024240f909f"
LEAST_SIDE = 32
#: Standard deviation of the luma, in levels, under which a picture has nothing but noise to judge.
FLAT = 0.5


class BrisqueConfig(ScorerConfig):
    size: int = Field(
        SHARED_SIZE, ge=64, le=4096, description="a larger picture is halved while its longer side keeps so many pixels"
    )


@register
class Brisque(RowScorer):
    """score = 100 - BRISQUE, BRISQUE within 0..100: a regression, trained on people's opinions, of 36 statistics of
    local contrasts (brisque_features.py).

    Mittal, Moorthy and Bovik, "No-Reference Image Quality Assessment in the Spatial Domain", IEEE TIP 21 (2012), where
    0 is best and 100 worst; turned round here. Sharp photos 60 to 100; strong blur, noise and JPEG artefacts 10 to 40.
    Made for photographs: pixel art, drawings, text and game frames score about 20 whatever their quality, so do not
    filter them by it. Refused where a side is under 32 pixels or all is one colour. CPU: 16 ms at 1024 px, and the
    shared decode.
    """

    name = "brisque"
    version = "1"
    fields = ("image",)
    description = "Quality of a photograph (100 - BRISQUE): low for blur, noise and artefacts, and for any pixel art"
    Config = BrisqueConfig
    config: BrisqueConfig

    def score_one(self, item: Item) -> float:
        luma = item.luma(self.config.size)
        if min(luma.shape) < LEAST_SIDE:
            raise ScoreFailure(State.REFUSED, f"a side is under {LEAST_SIDE} pixels, too few for BRISQUE")
        if luma.std() < FLAT:
            raise ScoreFailure(State.REFUSED, "the picture is one flat colour, which BRISQUE cannot judge")
        # rounded: the last bits of a sum depend on the machine, a label should not
        return round(100.0 - min(100.0, max(0.0, brisque(luma / np.float32(255)))), 3)


def brisque(gray: NDArray[np.float32]) -> float:
    """BRISQUE of a luma 0..1, as published: about 0 (best) to 100 (worst)."""
    weights = _weights()
    low, high = weights["low"], weights["high"]
    scaled = -1 + 2 * (brisque_features(gray) - low) / (high - low)
    distances = np.square(weights["vectors"] - scaled).sum(axis=1)
    return float((weights["coefficients"] * np.exp(-weights["gamma"] * distances)).sum() - weights["rho"])


@cache
def _weights() -> dict[str, NDArray[np.float64]]:
    """Raises BadInput where the installed file is not the one that this version was made with."""
    if hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() != SHA256:
        raise BadInput(f"{WEIGHTS} is damaged: install lance_assets again")
    with np.load(WEIGHTS, allow_pickle=False) as file:
        return {name: file[name].astype(np.float64) for name in file.files}
