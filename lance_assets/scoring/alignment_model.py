"""The fitted alignment: arrays on disk, agreement of one picture with one caption."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lance_assets.errors import BadInput
from lance_assets.scoring.decoding import decode
from lance_assets.scoring.features import CAPTION_SIZE, PICTURE_SIZE, caption_presence, caption_vectors, picture_vector
from lance_assets.scoring.item import Item
from lance_assets.scoring.outcome import ScoreFailure

FORMAT = 1
FOLDS = 2
ARRAYS = "model.npz"
CARD = "model.json"

UNTOLD = 0.2
"""Weight of words that pictures do not tell, in units of the importance of the word that they tell best."""


def fold_of(key: str) -> int:
    """Which fold a row is in, by a hash of its key (the image digest), so that equal pictures share a fold."""
    return hashlib.sha256(key.encode()).digest()[0] % FOLDS


@dataclass(frozen=True, eq=False)
class Fold:
    """What scores the rows of one fold: fitted on the rows of the other. K = caption terms that pictures predict.

    mean, scale: (PICTURE_SIZE,) centre and scale a picture vector. weights: (K, PICTURE_SIZE). terms: (K,)
    positions in a caption vector. idf: (CAPTION_SIZE,). caption_mean and importance: (K,).
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    weights: NDArray[np.float32]
    terms: NDArray[np.int32]
    idf: NDArray[np.float32]
    caption_mean: NDArray[np.float32]
    importance: NDArray[np.float32]

    def expected(self, image: Image.Image) -> NDArray[np.float32]:
        """(K,) what the caption of a picture should hold more (or less) of than captions on average do."""
        return self.expected_of(picture_vector(image))

    def expected_of(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same for a picture vector. einsum and not BLAS, whose threads cost more than they save on one vector."""
        return np.einsum("kp,p->k", self.weights, (picture - self.mean) * self.scale)

    def agreement(self, expected: NDArray[np.float32], caption: str) -> float:
        """Cosine, -1..1, of the expected and the real deviation from the average caption, weighted by importance.

        Words that no picture told (rare, or never seen) are expected to be absent and weigh UNTOLD: a caption that puts
        lava where the grass is loses for the lava too.
        """
        if not len(self.terms):
            return 0.0
        said = caption_vectors(caption_presence([caption]), self.idf)[0]
        told = said[self.terms]
        untold = float(said @ said - told @ told) * (UNTOLD * float(self.importance.max())) ** 2
        left, right = expected * self.importance, (told - self.caption_mean) * self.importance
        length = float(np.linalg.norm(left)) * float(np.sqrt(right @ right + max(untold, 0.0)))
        return float(left @ right) / length if length > 1e-12 else 0.0

    def check(self) -> None:
        """Raises ValueError when the arrays do not fit together."""
        known = len(self.terms)
        shapes = {
            "mean": (PICTURE_SIZE,),
            "scale": (PICTURE_SIZE,),
            "weights": (known, PICTURE_SIZE),
            "terms": (known,),
            "idf": (CAPTION_SIZE,),
            "caption_mean": (known,),
            "importance": (known,),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has the shape {getattr(self, name).shape} instead of {shape}")


@dataclass(frozen=True, eq=False)
class AlignmentModel:
    """score = 100 / (1 + exp(-(slope * agreement + offset))): with even odds beforehand, the probability in percent
    that the caption belongs to this picture and not to another one of the table (Platt scaling on agreements of own and
    of other captions). 50 = the model cannot tell, which is also what too small a table gives.
    """

    folds: tuple[Fold, ...]
    slope: float
    offset: float
    metrics: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over names, types, shapes and bytes of the arrays: two models with one digest score alike."""
        digest = hashlib.sha256(f"alignment {FORMAT}".encode())
        for name, array in sorted(self._arrays().items()):
            digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def score(self, item: Item) -> float:
        """0..100. Raises ScoreFailure when the picture cannot be decoded. The row's fold never saw this picture."""
        return self._row(item.image, item.caption, item.sha256)

    def predict(self, images: Sequence[bytes], captions: Sequence[str], keys: Sequence[str]) -> NDArray[np.float32]:
        """Scores 0..100 of encoded images with their captions; NaN where an image cannot be decoded.

        `keys` are the image_sha256 of the rows. Each row is computed alone, so that a score does not depend on what
        else was asked.
        """
        out = np.full(len(images), np.nan, dtype=np.float32)
        for at, (data, caption, key) in enumerate(zip(images, captions, keys, strict=True)):
            try:
                out[at] = self._row(decode(data), caption, key)
            except ScoreFailure:
                continue
        return out

    def save(self, folder: Path) -> str:
        """Writes model.npz and model.json (the same bytes for the same model) and returns the digest."""
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{ARRAYS}"
        with draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **self._arrays())
        draft.replace(folder / ARRAYS)
        card = {"format": FORMAT, "digest": self.digest, "folds": len(self.folds), "metrics": self.metrics}
        draft = folder / f".{CARD}"
        draft.write_text(json.dumps(card, indent=2, sort_keys=True) + "\n")
        draft.replace(folder / CARD)
        return self.digest

    @classmethod
    def load(cls, folder: Path) -> AlignmentModel:
        """Reads what `save` wrote; no pickle. Raises BadInput naming the folder: absent, damaged, another format."""
        try:
            card = json.loads((folder / CARD).read_text())
            with np.load(folder / ARRAYS, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            if card["format"] != FORMAT:
                raise ValueError(f"its format is {card['format']}, this version reads {FORMAT}")
            model = cls(_folds(arrays), *map(float, arrays["scale"]), metrics=card["metrics"])
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise BadInput(f"{folder} holds no readable alignment model: {error}") from error
        if model.digest != card["digest"]:
            raise BadInput(f"{folder} holds a damaged alignment model: its arrays do not have the recorded digest")
        return model

    def _row(self, image: Image.Image, caption: str, key: str) -> float:
        fold = self.folds[fold_of(key)]
        agreement = fold.agreement(fold.expected(image), caption)
        # rounded: the last bits of a sum depend on the machine, a label should not
        return round(float(100 / (1 + np.exp(-(self.slope * agreement + self.offset)))), 3)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays: dict[str, NDArray[Any]] = {"scale": np.array([self.slope, self.offset], dtype=np.float64)}
        for number, fold in enumerate(self.folds):
            arrays |= {f"fold{number}_{name}": getattr(fold, name) for name in Fold.__dataclass_fields__}
        return arrays


def _folds(arrays: dict[str, NDArray[Any]]) -> tuple[Fold, ...]:
    folds = tuple(
        Fold(**{name: arrays[f"fold{number}_{name}"] for name in Fold.__dataclass_fields__}) for number in range(FOLDS)
    )
    for fold in folds:
        fold.check()
    return folds
