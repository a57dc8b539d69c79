"""What BRISQUE measures in a picture: 36 numbers about how its local contrasts are distributed, at two scales.

Mittal, Moorthy and Bovik, "No-Reference Image Quality Assessment in the Spatial Domain", IEEE Transactions on Image
Processing 21 (2012). The borders, the cubic halving and the fit are those of the package brisque 0.2.0, whose weights
judge the numbers (brisque.py), so that scores agree.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

#: A Gaussian window of 7 x 7 pixels, deviation 7/6, as its two equal factors.
_TAPS = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
WINDOW = (_TAPS / _TAPS.sum()).astype(np.float32)
#: One level of grey: keeps the contrast of flat parts finite.
LEVEL = np.float32(1 / 255)
#: Cubic interpolation (a = -0.75) in the middle between two pixels: weights of the farther and the nearer two.
CUBIC = (np.float32(-0.09375), np.float32(0.59375))


def brisque_features(gray: NDArray[np.float32]) -> NDArray[np.float64]:
    """36 features of a luma 0..1, height x width, each side 4 or more: 18 of it, 18 of it at half the size."""
    return np.concatenate([_features(gray), _features(_half(_half(gray).T).T)])


def contrasts(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each pixel's distance from its local mean, in local deviations (MSCN coefficients)."""
    # squares lose digits far from zero, and a shift changes no contrast
    padded = np.pad(gray, 3) - np.float32(0.5)
    mean = _smooth(padded)
    deviation = _smooth(np.square(padded))
    # in place: fresh memory for each step would take longer than the step
    deviation -= mean * mean
    np.abs(deviation, out=deviation)
    np.sqrt(deviation, out=deviation)
    deviation += LEVEL
    np.subtract(padded[3:-3, 3:-3], mean, out=mean)
    mean /= deviation
    return mean


def _smooth(padded: NDArray[np.float32]) -> NDArray[np.float32]:
    """The Gaussian window over a picture with a border of 3 pixels, which goes."""
    return _weighted(_weighted(padded).T).T


def _weighted(padded: NDArray[np.float32]) -> NDArray[np.float32]:
    """The window over columns, 6 rows fewer."""
    height = len(padded) - 6
    total = WINDOW[3] * padded[3 : 3 + height]
    pair = np.empty_like(total)
    for at in range(3):
        np.add(padded[at : at + height], padded[6 - at : 6 - at + height], out=pair)
        pair *= WINDOW[at]
        total += pair
    return total


def _half(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Half as many rows, cubic, without smoothing first."""
    count = round(len(gray) / 2)
    padded = np.pad(gray, ((1, 3), (0, 0)), mode="edge")
    taken = [padded[at : at + 2 * count : 2] for at in range(4)]
    near, far = taken[1] + taken[2], taken[0] + taken[3]
    near *= CUBIC[1]
    far *= CUBIC[0]
    near += far
    return near


def _features(gray: NDArray[np.float32]) -> NDArray[np.float64]:
    c = contrasts(gray)
    shape, _, left, right = _fitted(c)
    found = [shape, (left + right) / 2]
    for product in (c[:, :-1] * c[:, 1:], c[:-1] * c[1:], c[:-1, :-1] * c[1:, 1:], c[1:, :-1] * c[:-1, 1:]):
        found += _fitted(product)
    return np.array(found)


def _fitted(x: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Shape, mean and the two variances of the asymmetric generalized Gaussian that has the moments of x."""
    low = np.minimum(x, 0)
    squares, low_squares = float(np.square(x).sum()), float(np.square(low).sum())
    absolute = float(x.sum()) - 2 * float(low.sum())
    fewer = int(np.count_nonzero(low))
    left, right = low_squares / max(1, fewer), (squares - low_squares) / max(1, x.size - fewer)
    skew = math.sqrt(left / right) if right > 0 else 1.0
    peaked = absolute * absolute / (x.size * squares) if squares > 0 else 0.0
    wanted = peaked * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    shape = float(SHAPES[min(int(np.searchsorted(PEAKED, wanted)), len(SHAPES) - 1)])
    first, second, third = (math.gamma(n / shape) for n in (1, 2, 3))
    mean = (math.sqrt(right) - math.sqrt(left)) * math.sqrt(first / third) * second / first
    return shape, mean, left, right


def _peaked(shape: float) -> float:
    """(E|x|)^2 / E(x^2) of a generalized Gaussian: grows with its shape."""
    first, second, third = (math.lgamma(n / shape) for n in (1, 2, 3))
    return math.exp(2 * second - first - third)


#: The shapes among which a fit chooses, and their _peaked.
SHAPES = np.arange(200, 10_001) / 1000
PEAKED = np.array([_peaked(shape) for shape in SHAPES.tolist()])
