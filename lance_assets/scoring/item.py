"""One row as scorers see it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lance_assets.scoring import decoding
from lance_assets.scoring.outcome import ScoreFailure, State


@dataclass(eq=False)
class Item:
    """One row; what no scorer declared in its `fields` is empty. `data` is the encoded image file, `others` are further
    columns by name.

    A picture is decoded once for all scorers of a fused pass and freed with the item; do not share one item between
    threads.
    """

    id: str
    caption: str = ""
    caption_missing: bool = False
    data: bytes | None = None
    width: int | None = None
    height: int | None = None
    others: Mapping[str, Any] = field(default_factory=dict)
    _pictures: dict[int, Image.Image | ScoreFailure] = field(default_factory=dict, init=False, repr=False)
    _lumas: dict[int, NDArray[np.float32]] = field(default_factory=dict, init=False, repr=False)
    _opened: Image.Image | None = field(default=None, init=False, repr=False)

    @property
    def image(self) -> Image.Image:
        """The whole picture as RGB. Raises ScoreFailure when that is impossible; it is not tried twice."""
        return self.picture()

    @property
    def gray(self) -> NDArray[np.float32]:
        """Luma (ITU-R 601) of the whole picture, height x width, 0..255. Raises ScoreFailure as `image` does."""
        return self.luma()

    def picture(self, size: int | None = None) -> Image.Image:
        """The picture as RGB, scaled down by the largest of 1, 2, 4 and 8 that leaves its longer side at least `size`
        pixels; None = whole. A JPEG is decoded at that scale, which takes a fraction of the time.

        What comes depends on the image and on `size` alone, never on the other scorers of the pass: so a cell is the
        same whoever was asked with it. Raises ScoreFailure.
        """
        return self._picture(self._factor(size))

    def luma(self, size: int | None = None) -> NDArray[np.float32]:
        """Luma (ITU-R 601) of `picture(size)`, height x width, 0..255. Raises ScoreFailure."""
        factor = self._factor(size)
        if factor not in self._lumas:
            self._lumas[factor] = np.asarray(self._picture(factor).convert("L"), dtype=np.float32)
        return self._lumas[factor]

    @cached_property
    def sha256(self) -> str:
        """Hex digest of `data`, equal to the table's image_sha256. Raises ScoreFailure without data."""
        if self.data is None:
            raise ScoreFailure(State.FAILED_PERMANENT, "the row has no image")
        return hashlib.sha256(self.data).hexdigest()

    def forget_pictures(self) -> None:
        """Frees what was decoded."""
        self._pictures.clear()
        self._lumas.clear()
        self._opened = None

    @cached_property
    def _size(self) -> tuple[int, int] | ScoreFailure:
        """Keeps the opened picture, whose header need not be read again to decode it."""
        try:
            self._opened = decoding.open_image(self.data)
            return self._opened.size
        except ScoreFailure as failure:
            return failure

    def _factor(self, size: int | None) -> int:
        if size is None:
            return 1
        if isinstance(self._size, ScoreFailure):
            raise self._size
        return decoding.factor_for(*self._size, size)

    def _picture(self, factor: int) -> Image.Image:
        if factor not in self._pictures:
            opened, self._opened = self._opened, None
            try:
                self._pictures[factor] = decoding.decode(self.data, factor, opened)
            except ScoreFailure as failure:
                self._pictures[factor] = failure
        found = self._pictures[factor]
        if isinstance(found, ScoreFailure):
            raise found
        return found
