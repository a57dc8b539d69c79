"""What every source of captions looks like to the rest of the platform."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lance_assets.errors import BadInput


@dataclass(frozen=True)
class SourceFile:
    """One file of a source. `path` is relative to the source and never changes; `sha256` is of its bytes (hex)."""

    path: str
    sha256: str
    rows: int


class RawRow(NamedTuple):
    """One row as it came: nothing parsed, nothing judged.

    `image` is the value of the image column (usually a URL or a path; some sets hold a dict; a list only where there
    are several), `caption` that of the caption column (a string, a dict, or a dict written as a string). A row that
    could not be read has `problem` set (a sentence) and no values. `messages` is the row's conversation, where it has
    one, `licence` what it says about its rights. `embedded` = the picture's bytes lie in the file itself:
    Source.images gives them, they never travel in here.
    """

    row: int
    image: Any = None
    caption: Any = None
    problem: str | None = None
    messages: Any = None
    licence: str | None = None
    embedded: bool = False


@dataclass(frozen=True)
class Columns:
    """Which columns hold the image and the caption (or the conversation); None = found by default name."""

    url: str | None = None
    caption: str | None = None


def digest_of(facts: Iterable[tuple[Any, ...]]) -> str:
    """sha256 (hex) of facts about files, in order."""
    return hashlib.sha256("\n".join(map(repr, facts)).encode()).hexdigest()


class Source(ABC):
    """A place where captions come from. Implementations: files, modelscope, demo."""

    id: str
    """Short and stable, `^[a-z0-9][a-z0-9_]*$`: part of every batch key and row id."""

    revision: str = ""
    """What the source calls its version; empty where it has none."""

    @abstractmethod
    def files(self) -> Iterator[SourceFile]:
        """The files in stable order, lazily: a caller with a row limit stops early. Raises BadInput."""

    @abstractmethod
    def read(self, file: SourceFile, first: int, end: int) -> Iterator[RawRow]:
        """Rows [first, end) of one file, in order, exactly end - first of them. Raises BadInput."""

    def listing(self) -> dict[str, str]:
        """sha256 (hex) of every file that there is now, by path. Raises BadInput."""
        return {file.path: file.sha256 for file in self.files()}

    def signature(self) -> str:
        """Another text whenever a file was added, changed or removed: one listing; no file is read where the listing
        alone tells. Raises BadInput."""
        return digest_of(sorted(self.listing().items()))

    def file(self, path: str) -> SourceFile:
        """One file as it is now. Raises BadInput where there is none."""
        found = next((file for file in self.files() if file.path == path), None)
        if found is None:
            raise BadInput(f"source {self.id} has no file {path} any more")
        return found

    def images(self, file: SourceFile, rows: Sequence[int]) -> Iterator[bytes | None]:
        """The pictures that lie inside the file itself, encoded, for ascending row numbers; None for a row without.
        Raises BadInput."""
        return iter([None] * len(rows))

    def image_roots(self) -> tuple[Path, ...]:
        """Folders that relative paths of images are looked up in."""
        return ()

    def own_hosts(self) -> frozenset[str]:
        """host:port of servers that the source itself runs: exempt from the public-address rule."""
        return frozenset()

    def serving(self) -> AbstractContextManager[None]:
        """Keeps what the source's URLs point at alive while inside; only the demo has something to start."""
        return nullcontext()
