"""Pictures and captions as vectors, for the alignment that is learnt from the table.

These functions are part of every saved model: change one, and the version of the scorer `alignment` must move.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lance_assets.scoring.words import terms

SIDE = 81
GRID = 27
CELLS = 9
BINS = 16

BLOCKS = {"grid": (GRID * GRID * 3, 1.0), "texture": (CELLS * CELLS * 3, 0.5), "colours": (BINS * 5, 1.0)}
"""Parts of a picture vector in order: numbers in it, and the weight of the part once each has unit variance."""

PICTURE_SIZE = sum(size for size, _ in BLOCKS.values())
CAPTION_SIZE = 4096


def picture_vector(image: Image.Image) -> NDArray[np.float32]:
    """An RGB picture of any size and shape -> PICTURE_SIZE numbers, 0..1.

    From the picture shrunk to 81 x 81 pixels: mean colours on a 27 x 27 grid (where), spread of the colours within
    9 x 9 cells (texture), and square roots of the histograms of red, green, blue, saturation and brightness (Hellinger
    map: light and palette, wherever they are).
    """
    pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))
    small = np.divide(pixels, 255, dtype=np.float32)
    grid = _cells(small, GRID)
    texture = np.sqrt(np.maximum(_cells(small * small, CELLS) - _cells(small, CELLS) ** 2, 0))
    red, green, blue = (np.ascontiguousarray(pixels[..., c]) for c in range(3))
    brightest, darkest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    channels = (red, green, blue, brightest - darkest, brightest // 2 + darkest // 2)
    counts = [np.bincount((c // (256 // BINS)).ravel(), minlength=BINS) for c in channels]
    colours = np.sqrt(np.concatenate(counts) / SIDE**2)
    return np.concatenate([grid.ravel(), texture.ravel(), colours]).astype(np.float32)


def _cells(small: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """(SIDE, SIDE, 3) -> (count, count, 3) means."""
    side = SIDE // count
    return small.reshape(count, side, SIDE * 3).mean(axis=1).reshape(count, count, side, 3).mean(axis=2)


def caption_presence(captions: Sequence[str]) -> NDArray[np.float32]:
    """Captions -> (captions, CAPTION_SIZE) of 0 and 1: which words and pairs of words occur, by CRC-32 of each."""
    presence = np.zeros((len(captions), CAPTION_SIZE), dtype=np.float32)
    for row, caption in zip(presence, captions, strict=True):
        row[[zlib.crc32(term.encode()) % CAPTION_SIZE for term in terms(caption)]] = 1
    return presence


def caption_vectors(presence: NDArray[np.float32], idf: NDArray[np.float32]) -> NDArray[np.float32]:
    """Presence weighted by inverse document frequency, each row of unit length (an empty caption stays zero)."""
    weighted = presence * idf
    lengths = np.linalg.norm(weighted, axis=1, keepdims=True)
    return (weighted / np.maximum(lengths, 1e-12)).astype(np.float32)


def inverse_document_frequency(presence: NDArray[np.float32]) -> NDArray[np.float32]:
    """ln((1 + n) / (1 + df)) + 1, smooth as in scikit-learn's TfidfTransformer."""
    return (np.log((1 + len(presence)) / (1 + presence.sum(axis=0))) + 1).astype(np.float32)
