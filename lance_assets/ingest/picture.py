"""Whether bytes are a whole image within the limits."""

from __future__ import annotations

import hashlib
import threading
from io import BytesIO
from typing import Any, NamedTuple

from PIL import Image, UnidentifiedImageError

from lance_assets.ingest.exif import NotUnderstood, has_location, orientation
from lance_assets.ingest.limits import FORMATS, Limits
from lance_assets.ingest.location import strip_location
from lance_assets.ingest.outcome import Fetched, FetchError
from lance_assets.ingest.polyglot import foreign_content

# One at a time, however many threads download: a Ray task has one core, a decoded image may take 4 bytes a pixel, and
# threads that decode beside each other spend a tenth more CPU on waking each other.
_DECODING = threading.Lock()


class Picture(NamedTuple):
    """An image that passed every check: width and height in pixels as Pillow opens it (as stored; only a TIFF comes
    turned), `orientation` as recorded (1 to 8)."""

    data: bytes
    format: str
    width: int
    height: int
    orientation: int | None


def fetched(data: bytes, limits: Limits, **facts: Any) -> Fetched:
    """What is kept of an image file; `facts` are the fields of Fetched that tell where it came from. Raises what
    `check_picture` does."""
    with _DECODING:
        picture = check_picture(data, limits)
    digest = hashlib.sha256(picture.data).hexdigest()
    stripped = picture.data is not data
    size = {"width": picture.width, "height": picture.height, "orientation": picture.orientation}
    return Fetched(data=picture.data, sha256=digest, format=picture.format, location_stripped=stripped, **size, **facts)


def inspect_image(data: bytes, limits: Limits) -> tuple[str, int, int]:
    """(format, width, height) of an encoded image. Raises what `check_picture` does."""
    return check_picture(data, limits)[1:4]


def check_picture(data: bytes, limits: Limits) -> Picture:
    """An encoded image, without its location if the limits say so.

    Header first, so that a decompression bomb costs nothing; then everything is decoded. Of an animation or a
    multi-page file the first frame is checked and the file is kept as it is. Raises FetchError: not_an_image,
    bad_format, too_many_pixels, too_small, corrupt_image, polyglot.
    """
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as image:
            _judge(image, limits)
            kept = strip_location(data, image.format or "") if limits.strip_location else data
            picture = _decoded(image, data) if kept is data else None
        if picture is None:
            with Image.open(BytesIO(kept), formats=FORMATS) as image:
                picture = _decoded(image, kept)
                if has_location(image):
                    raise FetchError("corrupt_image", "its location cannot be taken out")
    except FetchError:
        raise
    except UnidentifiedImageError as error:
        raise FetchError(
            "not_an_image", f"{len(data)} bytes that start with {data[:24]!r} are none of {', '.join(FORMATS)}"
        ) from error
    except Image.DecompressionBombError as error:
        raise FetchError("too_many_pixels", str(error)) from error
    except NotUnderstood as error:
        raise FetchError("corrupt_image", str(error)) from error
    except Exception as error:  # hostile bytes make decoders raise anything, from struct.error to MemoryError
        raise FetchError("corrupt_image", f"{type(error).__name__}: {error}") from error
    if (other := foreign_content(picture.data)) is not None:
        raise FetchError("polyglot", f"this {picture.format} is also {other}")
    return picture


def _decoded(image: Image.Image, data: bytes) -> Picture:
    """Reads every byte of the coded picture. A JPEG is decoded at an eighth of its size, which takes all of its
    coefficients all the same; a PNG has checksums besides, which only verify() compares."""
    (width, height), kind = image.size, image.format or ""
    if kind == "PNG":
        image.verify()
        with Image.open(BytesIO(data), formats=FORMATS) as again:
            again.load()
            return Picture(data, kind, width, height, orientation(again))
    if kind in ("JPEG", "MPO"):
        kind = "JPEG"  # one with further images behind its end, which telephones add
        image.draft("L", (1, 1))
    turned = orientation(image)  # before a TIFF is loaded, since Pillow then turns it and forgets
    image.load()
    return Picture(data, kind, width, height, turned)


def _judge(image: Image.Image, limits: Limits) -> None:
    kind, (width, height) = "JPEG" if image.format == "MPO" else image.format, image.size
    if kind not in limits.formats:
        raise FetchError("bad_format", f"{kind} is not among {', '.join(limits.formats)}")
    if width * height > limits.max_pixels:
        raise FetchError("too_many_pixels", f"{width} x {height} is more than {limits.max_pixels} pixels")
    if min(width, height) < limits.min_side:
        raise FetchError("too_small", f"{width} x {height}: a side is under {limits.min_side} pixels")
