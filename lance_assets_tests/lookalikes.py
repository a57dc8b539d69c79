"""Pictures that look alike, planted or real, and passes that find them without Ray."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lance_assets.compute.duplicates import Hashed, Hashing, find_duplicates, hash_fragment
from lance_assets.compute.label import Labelled
from lance_assets.scoring.duplicate import Duplicate, DuplicateConfig
from lance_assets.store.duplicates import COLUMN
from lance_assets.store.files import DataRoot
from lance_assets.store.labelling import Job
from lance_assets.store.selection import Groups
from lance_assets.store.table import open_images
from lance_assets_tests.unit.store import scenes
from lance_assets_tests.unit.store.scenes import Row

#: Looks of one family differ in as many bits as their numbers; of two families in about 128.
LOOKS = 100


def hash_of(look: int) -> bytes:
    """A hash for a look: `look % LOOKS` low bits of the family's random hash are flipped."""
    family = np.random.default_rng(look // LOOKS).bytes(32)
    flips = (1 << (look % LOOKS)) - 1
    return (int.from_bytes(family) ^ flips).to_bytes(32)


def sha_of(look: int) -> str:
    """image_sha256 of the picture that scenes store for a look."""
    return hashlib.sha256(scenes.cached_picture(look)).hexdigest()


def hash_here(root: DataRoot, version: int, jobs: Sequence[Job], scorer: Duplicate) -> Iterator[tuple[Job, Hashed]]:
    """The real hashes, one fragment after another in this process."""
    for job in jobs:
        yield job, hash_fragment(root, version, job, scorer)


class PassFailed(Exception):
    """What a pass said of the batches that it could not group."""


class Planted(Duplicate):
    """Hashes as planted, by the bytes of the picture: what `Looker` stores as look n looks like hash_of(n)."""

    def hashes(self, items):
        known = {scenes.cached_picture(look): hash_of(look) for look in PLANTED}
        return [known[item.data or b""] for item in items]


PLANTED: set[int] = set()


@dataclass
class Looker:
    """Stores batches of looks and groups them; one look twice is the same picture twice."""

    root: DataRoot
    cache: Path
    radius: int = 4
    hashing: Hashing = hash_here
    said: list[str] = field(default_factory=list)

    @property
    def scorer(self) -> Duplicate:
        return Planted(DuplicateConfig(radius=self.radius))

    @property
    def groups(self) -> Groups:
        return Groups(self.scorer.by)

    def store(self, batch: str, *slices: Sequence[int]) -> None:
        """A row per look, numbered through the batch, in one fragment per slice."""
        number = 0
        parts: list[list[Row]] = []
        for looks in slices:
            parts.append([Row(number + at, look) for at, look in enumerate(looks)])
            number += len(looks)
            PLANTED.update(looks)
        scenes.store(self.root, batch, *parts)

    def __call__(self, *batches: str, force: bool = False) -> list[Labelled]:
        found = find_duplicates(
            self.root, batches, self.scorer, "run", self.said.append, self.cache, self.hashing, force
        )
        done = list(found)
        if failures := [one.failure for one in done if one.failure]:
            raise PassFailed("; ".join(failures))
        return done

    def cells(self) -> Mapping[str, dict]:
        """By row id."""
        return {row: value for row, value in scenes.values(self.root, COLUMN).items() if isinstance(value, dict)}

    def firsts(self) -> dict[str, str | None]:
        return {row: cell["first"] for row, cell in self.cells().items()}


def sides(root: DataRoot, manifest: Mapping) -> dict[str, str]:
    """train or test, by id of the rows that a manifest selects."""
    dataset = open_images(root, manifest["version"])
    return {
        id: side
        for side in ("train", "test")
        for id in dataset.to_table(columns=["id"], filter=manifest[side])["id"].to_pylist()
    }
