"""JPEG files that cost what photographs cost: 400 x 300 pixels, about 27 kB, each with bytes of its own."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from functools import cache

import numpy as np
from PIL import Image

WIDTH, HEIGHT, QUALITY = 400, 300, 90
#: Pictures that are rendered; the others have the pixels of one of these and another comment inside.
RENDERED = 200
CANVAS = (1600, 1200)
#: How much weaker each octave of detail is than the one before: about as in photographs.
FALLOFF = 0.73
#: SOI and the JFIF segment, which must come first.
HEAD_BYTES = 20


def photo(number: int) -> bytes:
    """The file with this number; equal numbers give equal bytes."""
    base = _rendered()[number % RENDERED]
    comment = f"photo {number:09d}".encode()
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    return base[:HEAD_BYTES] + segment + base[HEAD_BYTES:]


def digest(number: int) -> str:
    """The hex SHA-256 of a photo."""
    return hashlib.sha256(photo(number)).hexdigest()


def pieces(count: int, width: int, height: int) -> Iterator[Image.Image]:
    """Pictures out of one large canvas, the same ones each time."""
    choice = np.random.default_rng(0)
    canvas = _canvas(choice)
    for _ in range(count):
        left, top = (int(choice.integers(room)) for room in (CANVAS[0] - width, CANVAS[1] - height))
        yield canvas.crop((left, top, left + width, top + height))


def jpeg(picture: Image.Image) -> bytes:
    """The picture as a file."""
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=QUALITY)
    return sink.getvalue()


@cache
def _rendered() -> list[bytes]:
    return [jpeg(piece) for piece in pieces(RENDERED, WIDTH, HEIGHT)]


def _canvas(choice: np.random.Generator) -> Image.Image:
    """Noise of all scales, mostly grey with some colour."""
    total = np.full((CANVAS[1], CANVAS[0], 3), 128, np.float32)
    side, strength = 4, 50.0
    while side <= CANVAS[0]:
        noise = choice.normal(size=(side * 3 // 4, side, 3)).astype(np.float32)
        noise = noise.mean(2, keepdims=True) + 0.4 * noise
        for band in range(3):
            grown = Image.fromarray(noise[..., band]).resize(CANVAS, Image.Resampling.BICUBIC)
            total[..., band] += strength * np.asarray(grown)
        side, strength = side * 2, strength * FALLOFF
    return Image.fromarray(total.clip(0, 255).astype(np.uint8))
