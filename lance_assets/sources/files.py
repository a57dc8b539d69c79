"""Captions from files: jsonl, json, csv, parquet, arrow; on this machine or in an object store."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Protocol

from lance_assets.errors import BadInput
from lance_assets.sources.base import Columns, RawRow, Source, SourceFile, digest_of
from lance_assets.sources.bucket import Bucket
from lance_assets.sources.columns import check_columns, raw_row
from lance_assets.sources.folder import Folder, readable
from lance_assets.sources.formats import form_of
from lance_assets.sources.row_format import RowFormat

log = logging.getLogger(__name__)

#: A file's path, size and time of change.
Stamp = tuple[str, int, int]


class Place(Protocol):
    """Where files lie: a Folder or a Bucket. Each method raises BadInput."""

    def names(self) -> list[str]: ...
    def local(self, name: str) -> Path: ...
    def shown(self, name: str) -> str: ...
    def stamps(self) -> list[tuple[str | int | None, ...]]: ...
    def roots(self) -> tuple[Path, ...]: ...


class FilesSource(Source):
    """The files of rows that a path, a glob or the URI of an object store names; see Folder and Bucket."""

    def __init__(self, id: str, spec: str, columns: Columns, cache: Path = Path()) -> None:
        """`cache` keeps what is fetched from an object store."""
        self.id = id
        self._spec = spec
        self._columns = columns
        self._place: Place = Bucket(spec, cache) if "://" in spec else Folder(spec)
        self._digests: dict[Stamp, str] = {}
        self._surveys: dict[Stamp, tuple[int, set[str]]] = {}

    def files(self) -> Iterator[SourceFile]:
        """The files in path order, each read once for its digest and rows. Empty files are skipped and logged.

        A file without one readable row is held back until one with a readable row follows: its rows become rejects
        then, but alone it is no data set. Raises BadInput: nothing at the path, no permission, no supported file, every
        file empty or unreadable, not of the format that its name says, a column that is not there.
        """
        return self._described(self._place.names())

    def signature(self) -> str:
        """As in Source, by sizes and times (in an object store: by e_tags)."""
        return digest_of(self._place.stamps())

    def read(self, file: SourceFile, first: int, end: int) -> Iterator[RawRow]:
        """Rows [first, end); a row that cannot be read comes with its `problem`. Raises BadInput when the file is gone
        or no longer the one that was listed."""
        folder = file.path.rpartition("/")[0]
        with self._opened(file) as (path, form):
            found = 0
            for row, cells in enumerate(islice(form.rows(path, first, self._columns), end - first), start=first):
                found += 1
                if isinstance(cells, str):
                    yield RawRow(row, problem=cells)
                else:
                    yield raw_row(row, cells, self._columns, folder)
        if found != end - first:
            shown = self._place.shown(file.path)
            raise BadInput(f"{shown} has {first + found} rows, so rows {first} to {end} cannot be read")

    def images(self, file: SourceFile, rows: Sequence[int]) -> Iterator[bytes | None]:
        """As in Source. Raises BadInput as `read` does."""
        with self._opened(file) as (path, form):
            yield from form.images(path, self._columns, rows)

    def image_roots(self) -> tuple[Path, ...]:
        """The folder that the files lie in; none where they come from an object store."""
        return self._place.roots()

    def _described(self, names: list[str]) -> Iterator[SourceFile]:
        held: list[SourceFile] = []
        good = False
        for name in names:
            with self._named(name) as (path, form):
                stamp = _stamp(path)
                if stamp not in self._surveys:
                    self._surveys[stamp] = form.survey(path)
                rows, columns = self._surveys[stamp]
                file = SourceFile(name, self._digest(path), rows)
            if rows == 0:
                log.warning("%s holds no rows and is skipped", self._place.shown(name))
                continue
            if columns:
                check_columns(columns, self._columns, self._place.shown(name))
                good = True
            held.append(file)
            if good:
                yield from held
                held = []
        if not good and held:
            raise BadInput(f"no row of {self._spec} can be read: {held[0].path} holds no valid record")
        if not good:
            raise BadInput(f"{self._spec} holds no rows: every file there is empty")

    @contextmanager
    def _opened(self, file: SourceFile) -> Iterator[tuple[Path, RowFormat]]:
        with self._named(file.path) as (path, form):
            if self._digest(path) != file.sha256:
                raise BadInput(f"{path} changed since it was listed: its sha256 is no longer {file.sha256[:12]}...")
            yield path, form

    @contextmanager
    def _named(self, name: str) -> Iterator[tuple[Path, RowFormat]]:
        """A file on this machine and its format; what is wrong with it is said with the name that people know."""
        path, shown, form = self._place.local(name), self._place.shown(name), form_of(name)
        if form is None:
            raise BadInput(f"{shown} is of no known format")
        try:
            with readable(shown):
                yield path, form
        except BadInput as error:
            raise BadInput(str(error).replace(str(path), shown)) from error

    def _digest(self, path: Path) -> str:
        """sha256 of the bytes, computed once per process for an unchanged file."""
        stamp = _stamp(path)
        if stamp not in self._digests:
            with path.open("rb") as stream:
                self._digests[stamp] = hashlib.file_digest(stream, "sha256").hexdigest()
        return self._digests[stamp]


def _stamp(path: Path) -> Stamp:
    said = path.stat()
    return str(path), said.st_size, said.st_mtime_ns
