"""Learns from the table itself which captions go with which pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from lance_assets.errors import BadInput
from lance_assets.scoring.alignment_model import FOLDS, AlignmentModel, Fold, fold_of
from lance_assets.scoring.decoding import decode
from lance_assets.scoring.features import (
    BLOCKS,
    PICTURE_SIZE,
    caption_presence,
    caption_vectors,
    inverse_document_frequency,
    picture_vector,
)
from lance_assets.scoring.outcome import ScoreFailure

FIT_VERSION = "1"
"""Moves when the same rows would give another model."""

MAX_ROWS = 2_000
MAX_TERMS = 512
"""Caption terms kept per fold, those that pictures tell best: bounds a saved model at about 10 MB."""

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)
"""Ridge penalties tried, in units of the mean eigenvalue of the Gram matrix."""


class NothingToLearn(BadInput):
    """The rows hold no two readable pictures with different captions."""


def fit_alignment(images: Sequence[bytes], captions: Sequence[str], keys: Sequence[str]) -> AlignmentModel:
    """Fits an AlignmentModel on up to MAX_ROWS encoded images, their captions and keys (image_sha256).

    For each of two folds (by a hash of the key), a ridge regression learns caption vectors from picture vectors on the
    rows of the *other* fold, so that no row is ever scored by weights that saw it. The penalty is the one with the
    least leave-one-out error, in closed form: r_i / (1 - h_ii) (Allen, "PRESS", Technometrics 1974; Golub, Heath and
    Wahba 1979). The importance of a term is its leave-one-out R2: words that pictures do not tell weigh
    nothing. Agreements of rows with their own caption and with another row's, both from weights that saw neither, give
    the scale (Platt 1999). The order of the rows does not matter; one thread, so that one machine repeats its bytes.

    Undecodable images are left out. `metrics`: rows, skipped, auc (own against other caption, cross-fitted), own and
    other (mean agreement), r2 (leave-one-out, over terms of two rows or more), terms (kept, by fold). Raises
    NothingToLearn, and BadInput for too many rows or lists of different lengths.
    """
    if not len(images) == len(captions) == len(keys):
        raise BadInput(f"alignment: {len(images)} images, {len(captions)} captions and {len(keys)} keys do not match")
    if len(images) > MAX_ROWS:
        raise BadInput(f"alignment is fitted on at most {MAX_ROWS} rows, not {len(images)}: pass a sample")
    order = sorted(range(len(keys)), key=lambda at: (keys[at], captions[at]))
    vectors = {at: vector for at in order if (vector := _vector(images[at])) is not None}
    usable = [captions[at] for at in vectors]
    if len(set(usable)) < 2:
        raise NothingToLearn(
            f"alignment cannot be learnt from {len(usable)} readable rows with {len(set(usable))} different captions"
        )
    with threadpool_limits(limits=1):
        pictures = np.stack(list(vectors.values())).astype(np.float64)
        model = _fit(pictures, usable, np.array([fold_of(keys[at]) for at in vectors]))
    model.metrics["skipped"] = len(images) - len(usable)
    return model


def _vector(image: bytes) -> NDArray[np.float32] | None:
    try:
        return picture_vector(decode(image))
    except ScoreFailure:
        return None


def _fit(pictures: NDArray[np.float64], captions: list[str], fold: NDArray[np.int64]) -> AlignmentModel:
    presence = caption_presence(captions)
    folds, explained = zip(*(_fold(pictures[fold != f], presence[fold != f]) for f in range(FOLDS)), strict=True)
    own, other = np.zeros(len(captions)), np.zeros(len(captions))
    for f, one in enumerate(folds):
        for at in np.flatnonzero(fold == f).tolist():
            expected = one.expected_of(pictures[at].astype(np.float32))
            own[at] = one.agreement(expected, captions[at])
            other[at] = one.agreement(expected, _another(captions, at))
    slope, offset = _platt(own, other)
    metrics = {
        "rows": len(captions),
        "auc": round(_auc(own, other), 4),
        "own": round(float(own.mean()), 4),
        "other": round(float(other.mean()), 4),
        "r2": round(float(np.mean(explained)), 4),
        "terms": [len(one.terms) for one in folds],
    }
    return AlignmentModel(folds, slope, offset, metrics)


def _another(captions: list[str], at: int) -> str:
    """The caption of another row, half the table away, that is not the same text (there are at least two texts)."""
    count = len(captions)
    return next(c for step in range(count) if (c := captions[(at + count // 2 + step) % count]) != captions[at])


def _auc(own: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Probability that an own caption agrees more than another one; ties count half (Mann-Whitney U)."""
    ranked = np.sort(other)
    below, through = np.searchsorted(ranked, own, "left"), np.searchsorted(ranked, own, "right")
    return float((below + through).mean() / 2 / len(other))


def _platt(own: NDArray[np.float64], other: NDArray[np.float64]) -> tuple[float, float]:
    """(slope, offset) of the logistic curve through both, by Newton's method with a mild penalty on the slope.

    The penalty acts on agreements of unit variance: it tames tiny tables and vanishes on large ones. A slope that is
    not positive means that nothing was learnt: (0, 0), every row scores 50.
    """
    agreements, truth = np.concatenate([own, other]), np.repeat([1.0, 0.0], len(own))
    spread = float(agreements.std())
    if spread < 1e-9:
        return 0.0, 0.0
    x = np.stack([agreements / spread, np.ones(len(agreements))], axis=1)
    theta, penalty = np.zeros(2), np.array([1.0, 0.0])
    for _ in range(25):
        p = 1 / (1 + np.exp(-(x @ theta)))
        slant = x.T @ (p - truth) + penalty * theta
        bend = (x.T * (p * (1 - p))) @ x + np.diag(penalty + 1e-9)
        theta = theta - np.linalg.solve(bend, slant)
    return (float(theta[0] / spread), float(theta[1])) if theta[0] > 0 else (0.0, 0.0)


def _fold(pictures: NDArray[np.float64], presence: NDArray[np.float32]) -> tuple[Fold, float]:
    """The fold fitted on these rows, and the share of the captions' variance that it explains leave-one-out."""
    idf = inverse_document_frequency(presence)
    said = caption_vectors(presence, idf).astype(np.float64)
    if len(said) < 2:  # a tiny table can leave a fold without rows: it then expects nothing, and scores 50
        pictures, said = np.zeros((2, PICTURE_SIZE)), np.zeros((2, said.shape[1]))
    mean, caption_mean = pictures.mean(axis=0), said.mean(axis=0)
    seen = (presence > 0).sum(axis=0)
    common = np.flatnonzero((seen >= 2) & (seen < len(presence)))  # a word of one row, or of all, cannot be learnt
    scale = _scale(pictures)
    x, y = (pictures - mean) * scale, said[:, common] - caption_mean[common]
    values, vectors = np.linalg.eigh(x @ x.T)
    values = np.maximum(values, 0.0)
    rotated = vectors.T @ y
    unit = float(values.mean()) or 1.0
    errors = {penalty: _left_out(y, vectors, rotated, values / (values + unit * penalty)) for penalty in PENALTIES}
    penalty = min(errors, key=lambda one: float((errors[one] ** 2).sum()))
    left, variance = (errors[penalty] ** 2).sum(axis=0), (y**2).sum(axis=0)
    r2 = 1 - left / np.maximum(variance, 1e-12)
    best = np.sort(np.argsort(-r2, kind="stable")[:MAX_TERMS])
    best = best[r2[best] > 0]
    known = common[best]
    weights = (vectors @ (rotated[:, best] / (values + unit * penalty)[:, None])).T @ x
    fold = Fold(
        mean=mean.astype(np.float32),
        scale=scale.astype(np.float32),
        weights=np.ascontiguousarray(weights, dtype=np.float32),
        terms=known.astype(np.int32),
        idf=idf,
        caption_mean=caption_mean[known].astype(np.float32),
        importance=r2[best].astype(np.float32),
    )
    return fold, float(1 - left.sum() / variance.sum()) if variance.any() else 0.0


def _left_out(
    y: NDArray[np.float64], vectors: NDArray[np.float64], rotated: NDArray[np.float64], shrink: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(rows, terms) residual of each row when it alone is left out. The mean counts as one more fitted direction."""
    leverage = (vectors**2) @ shrink + 1 / len(y)
    return (y - vectors @ (shrink[:, None] * rotated)) / np.maximum(1 - leverage, 1e-3)[:, None]


def _scale(pictures: NDArray[np.float64]) -> NDArray[np.float64]:
    """(PICTURE_SIZE,) factor that gives each block of a picture vector the variance of its weight squared."""
    factors, start = [], 0
    for size, weight in BLOCKS.values():
        spread = float(np.sqrt(pictures[:, start : start + size].var(axis=0).sum()))
        factors.append(np.full(size, weight / spread if spread > 1e-6 else 0.0))
        start += size
    return np.concatenate(factors)
