"""Whether bytes are a whole image within the limits."""

from __future__ import annotations

import os
import threading
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from lance_assets.ingest.limits import FORMATS, Limits
from lance_assets.ingest.outcome import FetchError

# A decoded image may take 4 bytes a pixel: as many at a time as there are cores, however many threads download.
_DECODING = threading.BoundedSemaphore(max(2, os.cpu_count() or 2))


def inspect_image(data: bytes, limits: Limits) -> tuple[str, int, int]:
    """(format, width, height) of an encoded image, width and height in pixels as stored.

    Header first, so that a decompression bomb costs nothing; then Pillow's own verification; then a full decode. Of an
    animation or a multi-page file the first frame is checked and the file is kept as it is. Raises FetchError:
    not_an_image, bad_format, too_many_pixels, too_small, corrupt_image.
    """
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            kind, (width, height) = image.format or "unknown", image.size
            _judge(kind, width, height, limits)
            image.verify()
        with _DECODING, Image.open(BytesIO(data), formats=FORMATS) as image:
            image.load()
    except FetchError:
        raise
    except UnidentifiedImageError as error:
        raise FetchError(
            "not_an_image", f"{len(data)} bytes that start with {data[:24]!r} are none of {', '.join(FORMATS)}"
        ) from error
    except Image.DecompressionBombError as error:
        raise FetchError("too_many_pixels", str(error)) from error
    except Exception as error:  # hostile bytes make decoders raise anything, from struct.error to MemoryError
        raise FetchError("corrupt_image", f"{type(error).__name__}: {error}") from error
    return kind, width, height


def _judge(kind: str, width: int, height: int, limits: Limits) -> None:
    if kind not in limits.formats:
        raise FetchError("bad_format", f"{kind} is not among {', '.join(limits.formats)}")
    if width * height > limits.max_pixels:
        raise FetchError("too_many_pixels", f"{width} x {height} is more than {limits.max_pixels} pixels")
    if min(width, height) < limits.min_side:
        raise FetchError("too_small", f"{width} x {height}: a side is under {limits.min_side} pixels")
