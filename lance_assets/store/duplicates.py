"""score_duplicate: which row came first of those that look alike, and the content groups that a row links.

The key of a group is the image_sha256 of the picture that it began with. A picture that is like none before begins a
group; any other belongs to the groups of all that it is like, and `low` and `high` are the smallest and the largest of
their keys. A threshold below, inside or above [low, high] then tells the side of the split: no two pictures that are
alike can lie on different sides, since the interval of the later one contains that of the earlier one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

COLUMN = "score_duplicate"
#: The claim that is held from looking up what is stored until publishing, so that two batches at once see each other.
CLAIM = "duplicates"

#: A cell. `hash`: hex, NULL = too flat to have one. `first`: id of the row that it repeats, which repeats none itself;
#: NULL = nothing before it is like it but what is like it by way of others. `distance`: bits between the two hashes.
#: `exact`: the first has the same bytes. `low`, `high`: group keys. `by`: hash and radius that made the cell.
TYPE = pa.struct(
    [
        pa.field("hash", pa.string()),
        pa.field("first", pa.string()),
        pa.field("distance", pa.int16()),
        pa.field("exact", pa.bool_()),
        pa.field("low", pa.string()),
        pa.field("high", pa.string()),
        pa.field("by", pa.string()),
    ]
)

Keys = tuple[str, str]


@dataclass(frozen=True)
class Picture:
    """A row to be compared. `row` is its stable row id, `hash` 32 bytes or None."""

    id: str
    sha256: str
    row: int
    hash: bytes | None

    @property
    def print(self) -> bytes:
        """What it is compared by: its hash; a picture without one is like nothing but its very bytes."""
        return b"=" + self.sha256.encode() if self.hash is None else self.hash


class Kind(NamedTuple):
    """What compared pictures say that have one print: their groups, and the one of them that repeats none: id, digest
    and row id, empty where there is none."""

    low: str
    high: str
    first: str = ""
    sha256: str = ""
    row: int = -1


#: The kinds within the radius of each print, with the bits between them; nothing where nothing is near.
Near = Mapping[bytes, Sequence[tuple[int, Kind]]]


class Stored(Protocol):
    """What was grouped before this pass: see duplicates_index."""

    def near(self, prints: Iterable[bytes], radius: int) -> Near: ...


@dataclass(frozen=True)
class Pair:
    """Row ids of a picture and of the first of its like, and how they differ."""

    row: int
    first: int
    distance: int
    exact: bool


class Grouping:
    """Groups pictures one after another: each is compared with all that are stored and all that came before it.

    `pinned` are the group keys that a training set went by, by (id, image_sha256): such a row keeps them, so that it
    can leave its side of the split (as a bridge) but never change it.
    """

    def __init__(self, stored: Stored, radius: int, by: str, pinned: Mapping[tuple[str, str], Keys]) -> None:
        self.stored, self.radius, self.by, self.pinned = stored, radius, by, pinned
        self.pairs: list[Pair] = []
        self._kinds: dict[bytes, list[Kind]] = {}
        self._bands: dict[int, list[bytes]] = {}

    def cells(self, pictures: Sequence[Picture]) -> list[dict[str, Any]]:
        """Values of TYPE, in order."""
        prints = list(dict.fromkeys(one.print for one in pictures))
        stored = self.stored.near(prints, self.radius)
        keys = dict(zip(prints, band_keys(prints, self.radius), strict=True))
        return [self._cell(one, stored.get(one.print, ()), keys[one.print]) for one in pictures]

    def _cell(self, one: Picture, stored: Sequence[tuple[int, Kind]], keys: Sequence[int]) -> dict[str, Any]:
        like = [*stored, *self._here(one.print, keys)]
        pinned = self.pinned.get((one.id, one.sha256))
        linked = [key for _, kind in like for key in (kind.low, kind.high)] + list(pinned or ())
        low, high = (min(linked), max(linked)) if linked else (one.sha256, one.sha256)
        firsts = [(bits, kind.sha256 != one.sha256, kind.first, kind) for bits, kind in like if kind.first]
        cell = {"hash": one.hash.hex() if one.hash else None, "low": low, "high": high, "by": self.by}
        if not firsts:
            self._remember(one.print, keys, Kind(low, high, one.id, one.sha256, one.row))
            return {**cell, "first": None, "distance": None, "exact": None}
        bits, differs, _, first = min(firsts, key=lambda found: found[:3])
        self._remember(one.print, keys, Kind(low, high))
        self.pairs.append(Pair(one.row, first.row, bits, not differs))
        return {**cell, "first": first.first, "distance": bits, "exact": not differs}

    def _here(self, print: bytes, keys: Sequence[int]) -> list[tuple[int, Kind]]:
        """The kinds of this pass within the radius."""
        near = {other for key in keys for other in self._bands.get(key, ())}
        found = ((distance(print, other), other) for other in near)
        return [(bits, kind) for bits, other in found if bits <= self.radius for kind in self._kinds.get(other, ())]

    def _remember(self, print: bytes, keys: Sequence[int], kind: Kind) -> None:
        kinds = self._kinds.setdefault(print, [])
        if not kinds:
            for key in keys:
                self._bands.setdefault(key, []).append(print)
        if kind not in kinds:
            kinds.append(kind)


def distance(one: bytes, other: bytes) -> int:
    """Bits in which two prints differ."""
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def band_keys(prints: Sequence[bytes], radius: int) -> list[list[int]]:
    """For each print its keys, below 2**63: two hashes within the radius have one in common, since they differ in fewer
    bits than there are bands. The print of a picture without a hash has one of its own.

    Norouzi, Punjani, Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012. Neighbouring bits are
    alike, so each goes to another band.
    """
    count = max(8, radius + 1)
    hashes = np.frombuffer(b"".join(filter(is_hash, prints)), np.uint8).reshape(-1, 32)
    bits = np.unpackbits(hashes, axis=1).astype(np.int64)
    columns = []
    for band in range(count):
        mine = bits[:, band::count]
        columns.append(mine @ (1 << np.arange(mine.shape[1], dtype=np.int64)) + (band << 40))
    rows = iter(np.stack(columns, axis=1).tolist())
    return [next(rows) if is_hash(one) else [_key(one)] for one in prints]


def _key(print: bytes) -> int:
    """Larger than any key of a hash."""
    return (1 << 60) + int.from_bytes(hashlib.sha256(print).digest()[:7])


def is_hash(print: bytes) -> bool:
    """False for the print of a picture that has no hash."""
    return len(print) == 32
