"""Encoded pictures as pixels, at the size that somebody needs."""

from __future__ import annotations

import io

from PIL import Image

from lance_assets.scoring.outcome import ScoreFailure, State, describe

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 50_000_000
#: A JPEG decodes at these scales by itself, in a fraction of the time.
FACTORS = (8, 4, 2)


def factor_for(width: int, height: int, size: int | None) -> int:
    """By how much a picture may be scaled down and still have a longer side of `size` pixels; None = not at all."""
    longer = max(width, height)
    return 1 if size is None else next((factor for factor in FACTORS if longer >= size * factor), 1)


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
                return image.convert("RGB")
            wanted = -(-image.width // factor), -(-image.height // factor)
            # Rounded up, Pillow would take the next smaller scale for it, and that would be divided once more.
            image.draft(None, (max(1, image.width // factor), max(1, image.height // factor)))
            rgb = image.convert("RGB")
            return rgb if rgb.size == wanted else rgb.reduce(factor)
        except MemoryError:
            raise
        except Exception as error:
            raise _broken(error) from error


def _broken(error: Exception) -> ScoreFailure:
    """Pillow raises many kinds on hostile bytes; each means the same here."""
    return ScoreFailure(State.FAILED_PERMANENT, f"the image cannot be decoded: {describe(error)}")
