"""One row as scorers see it, and the typed outcome of a row that cannot be scored."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 50_000_000


class State(IntEnum):
    """The `score_<name>__state` column (uint8). NULL there means that the cell was never scored."""

    OK = 0
    FAILED_TRANSIENT = 1
    FAILED_PERMANENT = 2
    REFUSED = 3


class ScoreFailure(Exception):
    """One row that has no score. `state` says whether another try can help; the message says why, for people."""

    def __init__(self, state: State, message: str) -> None:
        super().__init__(message)
        self.state = state


@dataclass(eq=False)
class Item:
    """One row for scorers. `data` is the encoded image file, None where no scorer asked for it.

    The decoded picture is cached for all scorers of a fused pass and freed with the item; do not share one item between
    threads.
    """

    id: str
    caption: str = ""
    caption_missing: bool = False
    data: bytes | None = None
    width: int | None = None
    height: int | None = None

    @property
    def image(self) -> Image.Image:
        """The picture as RGB, decoded once. Raises ScoreFailure when that is impossible; it is not tried twice."""
        decoded = self._decoded
        if isinstance(decoded, ScoreFailure):
            raise decoded
        return decoded

    @cached_property
    def gray(self) -> NDArray[np.float32]:
        """Luma (ITU-R 601), height x width, 0..255. Raises ScoreFailure as `image` does."""
        return np.asarray(self.image.convert("L"), dtype=np.float32)

    @cached_property
    def sha256(self) -> str:
        """Hex digest of `data`, equal to the table's image_sha256. Raises ScoreFailure without data."""
        if self.data is None:
            raise ScoreFailure(State.FAILED_PERMANENT, "the row has no image")
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def _decoded(self) -> Image.Image | ScoreFailure:
        try:
            return decode(self.data)
        except ScoreFailure as failure:
            return failure


def decode(data: bytes | None) -> Image.Image:
    """An encoded picture as RGB. Raises ScoreFailure, permanent: missing, broken, or more than MAX_PIXELS."""
    if not data:
        raise ScoreFailure(State.FAILED_PERMANENT, "the row has no image")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ScoreFailure(State.FAILED_PERMANENT, f"the image has more than {MAX_PIXELS} pixels")
            return image.convert("RGB")
    except (ScoreFailure, MemoryError):
        raise
    except Exception as error:  # Pillow raises many kinds on hostile bytes; each means the same here
        raise ScoreFailure(State.FAILED_PERMANENT, f"the image cannot be decoded: {describe(error)}") from error


def describe(error: BaseException) -> str:
    """`Kind: first line`, at most 300 characters, for a message column."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}"[:300] if lines else type(error).__name__
