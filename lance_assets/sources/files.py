"""Captions from files on disk: jsonl, csv, parquet."""

from __future__ import annotations

import glob
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NoReturn

from lance_assets.errors import BadInput
from lance_assets.sources.base import Columns, RawRow, Source, SourceFile
from lance_assets.sources.columns import check_columns, pick
from lance_assets.sources.formats import FORMATS, RowFormat

log = logging.getLogger(__name__)


class FilesSource(Source):
    """A file, a folder (searched recursively) or a glob; what is not .jsonl, .csv or .parquet, or hidden, is ignored.

    Paths of files are relative to the folder (of a glob: to its part before the first wildcard; of a single file: its
    name), so that a folder may move without changing a row's identity.
    """

    def __init__(self, id: str, spec: str, columns: Columns) -> None:
        self.id = id
        self._spec = spec
        self._columns = columns
        self._digests: dict[tuple[str, int, int], str] = {}

    def files(self) -> Iterator[SourceFile]:
        """The files in path order, each read once for its digest and rows. Empty files are skipped and logged.

        A file without one readable row is held back until one with a readable row follows: its rows become rejects
        then, but alone it is no data set. Raises BadInput: nothing at the path, no permission, no supported file, every
        file empty or unreadable, not a parquet file, a column that is not there.
        """
        base, paths = self._found()
        return self._described(base, paths)

    def read(self, file: SourceFile, first: int, end: int) -> Iterator[RawRow]:
        """Rows [first, end); a row that cannot be read comes with its `problem`. Raises BadInput when the file is gone
        or no longer the one that was listed."""
        path = self._base() / file.path
        form = _form(path)
        with _readable(path):
            if self._digest(path) != file.sha256:
                raise BadInput(f"{path} changed since it was listed: its sha256 is no longer {file.sha256[:12]}...")
            found = 0
            for row, cells in enumerate(islice(form.rows(path, first, self._columns), end - first), start=first):
                found += 1
                if isinstance(cells, str):
                    yield RawRow(row, problem=cells)
                else:
                    image, caption = pick(cells, self._columns)
                    yield RawRow(row, image, caption)
        if found != end - first:
            raise BadInput(f"{path} has {first + found} rows, so rows {first} to {end} cannot be read")

    def _described(self, base: Path, paths: list[Path]) -> Iterator[SourceFile]:
        held: list[SourceFile] = []
        readable = False
        for path in paths:
            form = _form(path)
            with _readable(path):
                rows, names = form.survey(path)
                file = SourceFile(_relative(path, base), self._digest(path), rows)
            if rows == 0:
                log.warning("%s holds no rows and is skipped", path)
                continue
            if names:
                check_columns(names, self._columns, str(path))
                readable = True
            held.append(file)
            if readable:
                yield from held
                held = []
        if not readable and held:
            raise BadInput(f"no row of {self._spec} can be read: {held[0].path} holds no valid record")
        if not readable:
            raise BadInput(f"{self._spec} holds no rows: every file there is empty")

    def _base(self) -> Path:
        """The folder that paths are relative to. Raises BadInput when the spec names nothing."""
        root = Path(self._spec).expanduser()
        with _readable(root):
            if root.is_file():
                return root.parent
            if root.is_dir():
                return root
        if glob.has_magic(self._spec):
            parts = root.parts
            return Path(*parts[: next(index for index, part in enumerate(parts) if glob.has_magic(part))])
        raise BadInput(f"there is no file or folder {self._spec}")

    def _found(self) -> tuple[Path, list[Path]]:
        """(folder that paths are relative to, supported files in order)."""
        base, root = self._base(), Path(self._spec).expanduser()
        if root.is_file():
            found = [root]
        elif root.is_dir():
            found = [Path(folder, name) for folder, _, names in os.walk(root, onerror=_refuse) for name in names]
        else:
            found = _matching(base, root)
        supported = {path.relative_to(base).as_posix(): path for path in found if _supported(path)}
        shown = sorted(name for name in supported if name == root.name or not _hidden(name))
        if not shown:
            raise BadInput(f"{self._spec} holds no {', '.join(sorted(FORMATS))} file")
        return base, [supported[name] for name in shown]

    def _digest(self, path: Path) -> str:
        """sha256 of the bytes, computed once per process for an unchanged file."""
        stat = path.stat()
        key = (str(path), stat.st_size, stat.st_mtime_ns)
        if key not in self._digests:
            with path.open("rb") as stream:
                self._digests[key] = hashlib.file_digest(stream, "sha256").hexdigest()
        return self._digests[key]


def _form(path: Path) -> RowFormat:
    return FORMATS[path.suffix.lower()]


def _supported(path: Path) -> bool:
    return path.suffix.lower() in FORMATS and path.is_file()


def _matching(base: Path, pattern: Path) -> list[Path]:
    try:
        return list(base.glob(pattern.relative_to(base).as_posix()))
    except ValueError as error:
        raise BadInput(f"{pattern} is not a usable glob: {error}") from error


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _relative(path: Path, base: Path) -> str:
    name = path.relative_to(base).as_posix()
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInput(f"the file name {name!a} in {base} is not UTF-8") from error
    return name


def _refuse(error: OSError) -> NoReturn:
    raise BadInput(f"{error.filename} cannot be read: {error.strerror}") from error


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turns what the file system refuses into BadInput."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from error
