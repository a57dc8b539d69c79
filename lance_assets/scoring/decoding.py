"""Encoded pictures as pixels, at the size that somebody needs."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from lance_assets.scoring.outcome import ScoreFailure, State, describe

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 50_000_000
#: A JPEG decodes at these scales by itself, in a fraction of the time.
FACTORS = (8, 4, 2)
#: The size that image scorers ask for (Item.picture, Item.luma) where they have no reason for another: what they ask
#: alike is decoded once for all of them. 7 CPU ms for a JPEG file of 1024 x 768 pixels with its luma, 10 at full size.
SHARED_SIZE = 512


def factor_for(width: int, height: int, size: int | None) -> int:
    """By how much a picture may be scaled down and still have a longer side of `size` pixels; None = not at all."""
    longer = max(width, height)
    return 1 if size is None else next((factor for factor in FACTORS if longer >= size * factor), 1)


def scaled(size: tuple[int, int], factor: int) -> tuple[int, int]:
    """Each side divided by `factor`, rounded up."""
    return -(-size[0] // factor), -(-size[1] // factor)


def open_image(data: bytes | None) -> Image.Image:
    """An encoded picture, its header read. Raises ScoreFailure, permanent: missing, broken, or over MAX_PIXELS."""
    if not data:
        raise ScoreFailure(State.FAILED_PERMANENT, "the row has no image")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:
        raise _broken(error) from error
    if image.width * image.height > MAX_PIXELS:
        raise ScoreFailure(State.FAILED_PERMANENT, f"the image has more than {MAX_PIXELS} pixels")
    return image


def decode(data: bytes | None, factor: int = 1, opened: Image.Image | None = None) -> Image.Image:
    """An encoded picture as RGB, each side divided by `factor` (rounded up); `opened` is the same one where its header
    has been read and nothing else, and is closed. Raises what `open_image` does, and MemoryError."""
    with opened or open_image(data) as image:
        try:
            if factor == 1:
                return _rgb(image)
            whole = image.size
            # A draft is the smallest one that is not smaller than asked for: so rounded down, and of any scale or none.
            image.draft(None, (max(1, whole[0] // factor), max(1, whole[1] // factor)))
            done = next(one for one in (*FACTORS, 1) if image.size == scaled(whole, one))
            rgb = _rgb(image)
            return rgb if done == factor else rgb.reduce(factor // done)
        except MemoryError:
            raise
        except Exception as error:
            raise _broken(error) from error


def _rgb(image: Image.Image) -> Image.Image:
    """Transparency is dropped. Of 16 bits the upper 8 stay: Pillow would clip instead, to a white picture."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def _broken(error: Exception) -> ScoreFailure:
    """Pillow raises many kinds on hostile bytes; each means the same here."""
    return ScoreFailure(State.FAILED_PERMANENT, f"the image cannot be decoded: {describe(error)}")
