"""A perceptual hash: 256 bits of what a picture looks like, nearly the same for copies that were encoded anew, resized,
brightened or darkened a little; not for cropped, turned or mirrored ones.

Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), section 3.2.1, at the size of
Facebook's PDQ ("The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm", 2019): luma of 64 x 64
pixels, its 2-D DCT, 16 x 16 low frequencies without the constant ones, one bit each: above their median or not. So half
of the bits are set, and two hashes differ in an even number of bits.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lance_assets.scoring.decoding import FORMATS, MAX_PIXELS
from lance_assets.scoring.outcome import ScoreFailure, State, describe

BITS = 256
SIDE, LOWEST, COUNT = 64, 1, 16
#: JPEG is decoded at the smallest scale of at least so many pixels: 8 times faster, and at most 4 bits off.
DRAFT = 128
#: Median of the coefficients' sizes (luma 0..255, orthonormal DCT) below which the bits are noise. Measured: photos and
#: game frames 6 to 60; flat ones, whose bits change with each encoding, below 1.
CONTRAST = 4.0


def _basis() -> NDArray[np.float64]:
    """Rows LOWEST..LOWEST+COUNT-1 of the orthonormal DCT-II of SIDE points."""
    frequency, at = np.arange(LOWEST, LOWEST + COUNT)[:, None], np.arange(SIDE)[None]
    return np.sqrt(2 / SIDE) * np.cos(np.pi * frequency * (2 * at + 1) / (2 * SIDE))


BASIS = _basis()


def perceptual_hash(data: bytes | None) -> bytes | None:
    """32 bytes, or None for a picture so flat that it has no usable hash. The EXIF orientation is ignored. Raises
    ScoreFailure, permanent: missing, broken, or more than MAX_PIXELS."""
    coefficients = (BASIS @ _luma(data) @ BASIS.T).ravel()
    if np.median(np.abs(coefficients)) < CONTRAST:
        return None
    return np.packbits(coefficients > np.median(coefficients)).tobytes()


def _luma(data: bytes | None) -> NDArray[np.float64]:
    """SIDE x SIDE, 0..255."""
    if not data:
        raise ScoreFailure(State.FAILED_PERMANENT, "the row has no image")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ScoreFailure(State.FAILED_PERMANENT, f"the image has more than {MAX_PIXELS} pixels")
            image.draft("L", (DRAFT, DRAFT))
            small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            return np.asarray(small, dtype=np.float64)
    except (ScoreFailure, MemoryError):
        raise
    except Exception as error:  # Pillow raises many kinds on hostile bytes; each means the same here
        raise ScoreFailure(State.FAILED_PERMANENT, f"the image cannot be decoded: {describe(error)}") from error
