"""The scorers of `bench label`: each an ordinary Scorer for the platform, and the same function of an Arrow column of
encoded images for whoever goes without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from lance_assets.scoring.api import Item, Rows, RowScorer, Scorer
from lance_assets.scoring.decoding import decode

#: Pixels of the longer side that the thumbnail scorer asks for, and what that means for a picture of the benchmark.
THUMBNAIL, THUMBNAIL_FACTOR = 80, 4

#: Scores of a column of encoded images, as float32.
Score = Callable[[pa.Array], NDArray[np.float32]]


def brightness(picture: Image.Image) -> float:
    """Of 64 pixels: it costs next to nothing beside decoding."""
    return float(np.asarray(picture.resize((8, 8), Image.Resampling.NEAREST), np.float32).mean())


class NoOp(Scorer):
    """Looks at no byte of an image: what is left is the cost of everything around a scorer."""

    name, version, fields = "noop", "1", ("image",)
    description, unit = "How many bytes an image has", "bytes"

    def score(self, items: Sequence[Item]) -> NDArray[np.float32]:
        if not isinstance(items, Rows):
            raise TypeError("it scores columns")
        return lengths(items.table["image"])


class Thumbnail(RowScorer):
    name, version, fields, description = "thumbnail", "1", ("image",), "Brightness of the picture at a quarter"

    def score_one(self, item: Item) -> float:
        return brightness(item.picture(THUMBNAIL))


class FullDecode(RowScorer):
    name, version, fields, description = "full", "1", ("image",), "Brightness of the whole picture"

    def score_one(self, item: Item) -> float:
        return brightness(item.image)


def lengths(images: pa.Array | pa.ChunkedArray) -> NDArray[np.float32]:
    """What NoOp gives."""
    return pc.call_function("binary_length", [images]).to_numpy().astype(np.float32)


def thumbnails(images: pa.Array) -> NDArray[np.float32]:
    """What Thumbnail gives."""
    return np.array([brightness(decode(data, THUMBNAIL_FACTOR)) for data in images.to_pylist()], np.float32)


def full_decodes(images: pa.Array) -> NDArray[np.float32]:
    """What FullDecode gives."""
    return np.array([brightness(decode(data)) for data in images.to_pylist()], np.float32)


SCORERS: Mapping[str, type[Scorer]] = {one.name: one for one in (NoOp, Thumbnail, FullDecode)}
FUNCTIONS: Mapping[str, Score] = {NoOp.name: lengths, Thumbnail.name: thumbnails, FullDecode.name: full_decodes}
