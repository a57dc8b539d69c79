"""The picture of a row as it travels to the endpoint: its bytes, never its address."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image

from lance_assets.scoring import decoding
from lance_assets.scoring.item import Item

#: What every endpoint reads, and how many bytes of it travel as they are.
AS_IS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
MOST_BYTES = 4_000_000
QUALITY = 90


@dataclass(frozen=True)
class Sent:
    """An encoded picture and its size in pixels."""

    kind: str
    data: bytes
    width: int
    height: int

    @property
    def url(self) -> str:
        return f"data:{self.kind};base64,{base64.b64encode(self.data).decode()}"


def sent(item: Item, max_side: int | None) -> Sent:
    """The stored bytes where they are small enough, else a JPEG with at most `max_side` pixels on its longer side.
    Raises ScoreFailure."""
    with decoding.open_image(item.data) as image:
        kind, (width, height) = AS_IS.get(image.format or ""), image.size
        still = getattr(image, "n_frames", 1) == 1
    small = max_side is None or max(width, height) <= max_side
    if kind is not None and still and small and item.data is not None and len(item.data) <= MOST_BYTES:
        return Sent(kind, item.data, width, height)
    return _encoded(item.picture(max_side), max_side)


def _encoded(picture: Image.Image, max_side: int | None) -> Sent:
    longer = max(picture.size)
    if max_side is not None and longer > max_side:
        width, height = (max(1, round(side * max_side / longer)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=QUALITY)
    return Sent("image/jpeg", out.getvalue(), *picture.size)
