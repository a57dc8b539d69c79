"""What every source of captions looks like to the rest of the platform."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SourceFile:
    """One file of a source. `path` is relative to the source and never changes; `sha256` is of its bytes (hex)."""

    path: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class RawRow:
    """One row as it came: nothing parsed, nothing judged.

    `image` is the value of the image column (usually a URL; some sets hold a dict), `caption` that of the caption
    column (a string, a dict, or a dict written as a string). A row that could not be read has `problem` set (a
    sentence) and both values None.
    """

    row: int
    image: Any = None
    caption: Any = None
    problem: str | None = None


@dataclass(frozen=True)
class Columns:
    """Which columns hold the image URL and the caption; None = found by default name."""

    url: str | None = None
    caption: str | None = None


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

    def own_hosts(self) -> frozenset[str]:
        """host:port of servers that the source itself runs: exempt from the public-address rule."""
        return frozenset()

    def serving(self) -> AbstractContextManager[None]:
        """Keeps what the source's URLs point at alive while inside; only the demo has something to start."""
        return nullcontext()
