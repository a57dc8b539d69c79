"""JPEG files that cost what photographs cost, each with bytes of its own: by default 400 x 300 pixels, about 27 kB."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Kind:
    """So many pictures are rendered; the others have the pixels of one of these and another comment inside."""

    width: int
    height: int
    quality: int
    rendered: int


WIDTH, HEIGHT = 400, 300
PLAIN = Kind(WIDTH, HEIGHT, 90, 200)
CANVAS = (1600, 1200)
#: How much weaker each octave of detail is than the one before: about as in photographs.
FALLOFF = 0.73
#: SOI and the JFIF segment, which must come first.
HEAD_BYTES = 20


def photo(number: int, kind: Kind = PLAIN, padding: int = 0) -> bytes:
    """The file with this number, `padding` bytes larger than it need be; equal arguments give equal bytes."""
    base = _rendered(kind)[number % kind.rendered]
    comment = f"photo {number:09d}".encode() + b" " * padding
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    return base[:HEAD_BYTES] + segment + base[HEAD_BYTES:]


def digest(number: int) -> str:
    """The hex SHA-256 of a photo."""
    return hashlib.sha256(photo(number)).hexdigest()


@cache
def _rendered(kind: Kind) -> list[bytes]:
    return [jpeg(piece, kind.quality) for piece in pieces(kind.rendered, kind.width, kind.height)]


def pieces(count: int, width: int, height: int) -> Iterator[Image.Image]:
    """Pictures out of one large canvas, the same ones each time."""
    choice = np.random.default_rng(0)
    canvas = _canvas(choice)
    for _ in range(count):
        left, top = (int(choice.integers(room)) for room in (CANVAS[0] - width, CANVAS[1] - height))
        yield canvas.crop((left, top, left + width, top + height))


def jpeg(picture: Image.Image, quality: int = PLAIN.quality) -> bytes:
    """The picture as a file."""
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=quality)
    return sink.getvalue()


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
