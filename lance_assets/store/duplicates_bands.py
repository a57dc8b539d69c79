"""Numbers by key, on disk: sorted runs of files that are never changed, only merged.

Adding n keys writes n keys, whatever there is already (a B-tree would change a page for each); runs of about equal
size are merged, so that there are few, and each key is written again a logarithmic number of times. O'Neil and others,
"The Log-Structured Merge-Tree (LSM-Tree)", Acta Informatica 33 (1996).
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np


class DamagedRun(RuntimeError):
    """A run is gone, or cut short."""


def write_run(folder: Path, keys: Sequence[int], numbers: Sequence[int], runs: Sequence[str]) -> list[str]:
    """Names of the runs that hold these keys with their numbers, too: a new file takes the place of those that are not
    larger than twice what it holds. No file is deleted. Raises DamagedRun."""
    new = np.array([keys, numbers], np.int64)
    new = new[:, np.argsort(new[0], kind="stable")]
    left = [*runs]
    while left and _load(folder, left[-1]).shape[1] <= 2 * new.shape[1]:
        both = np.concatenate([_load(folder, left.pop()), new], axis=1)
        new = both[:, np.argsort(both[0], kind="stable")]
    if not new.shape[1]:
        return left
    name = f"{uuid.uuid4().hex}.npy"
    with (folder / name).open("wb") as file:
        np.save(file, new)
        file.flush()
        os.fsync(file.fileno())
    return [*left, name]


def find(folder: Path, runs: Sequence[str], keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of the keys (by position, again for each number) are there with which numbers. Only what is looked at is
    read."""
    order = np.argsort(keys, kind="stable")
    wanted = keys[order]
    positions: list[np.ndarray] = [np.zeros(0, np.int64)]
    numbers: list[np.ndarray] = [np.zeros(0, np.int64)]
    for run in runs:
        there = _load(folder, run)
        low, high = (np.searchsorted(there[0], wanted, side) for side in ("left", "right"))
        counts = high - low
        inside = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        positions.append(np.repeat(order, counts))
        numbers.append(there[1][np.repeat(low, counts) + inside])
    return np.concatenate(positions), np.concatenate(numbers)


def _load(folder: Path, run: str) -> np.ndarray:
    """Two rows of int64: keys, ascending, and their numbers. Raises DamagedRun."""
    try:
        return np.load(folder / run, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise DamagedRun(f"{folder / run} cannot be read: {error}") from error
