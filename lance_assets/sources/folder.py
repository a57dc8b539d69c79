"""Files of rows on this machine."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from lance_assets.errors import BadInput
from lance_assets.sources.formats import FORMATS, form_of


class Folder:
    """A file, a folder (searched recursively) or a glob; what is of no known format, or hidden, is ignored.

    Names are relative to the folder (of a glob: to its part before the first wildcard; of a single file: its name), so
    that a folder may move without changing a row's identity.
    """

    def __init__(self, spec: str) -> None:
        self._spec = spec
        self._root = Path(spec).expanduser()

    def names(self) -> list[str]:
        """The files of rows, sorted. Raises BadInput when there are none, or not all can be seen."""
        base, root = self._base(), self._root
        if root.is_file():
            found = [root]
        elif root.is_dir():
            found = [Path(folder, name) for folder, _, names in os.walk(root, onerror=_refuse) for name in names]
        else:
            found = _matching(base, root)
        shown = sorted(_relative(path, base) for path in found if path == root or _belongs(path, base))
        if not shown or form_of(shown[0]) is None:
            raise BadInput(f"{self._spec} holds no {', '.join(sorted(FORMATS))} file")
        return shown

    def stamps(self) -> list[tuple[str | int | None, ...]]:
        """Name, size and time of change of each file. Raises BadInput as `names` does."""
        with readable(self._spec):
            found = [(name, (self._base() / name).stat()) for name in self.names()]
        return [(name, said.st_size, said.st_mtime_ns) for name, said in found]

    def local(self, name: str) -> Path:
        """Where a file is. Raises BadInput when the spec names nothing any more."""
        return self._base() / name

    def shown(self, name: str) -> str:
        """How people know a file."""
        return str(self._base() / name)

    def roots(self) -> tuple[Path, ...]:
        """The folder that names are relative to; never the whole machine."""
        base = self._base().absolute()
        return () if base == base.parent else (base,)

    def _base(self) -> Path:
        root = self._root
        with readable(str(root)):
            if root.is_file():
                return root.parent
            if root.is_dir():
                return root
        if glob.has_magic(self._spec):
            parts = root.parts
            return Path(*parts[: next(index for index, part in enumerate(parts) if glob.has_magic(part))])
        raise BadInput(f"there is no file or folder {self._spec}")


def hidden(name: str) -> bool:
    """Whether a name, or a folder in it, begins with a dot."""
    return any(part.startswith(".") for part in name.split("/"))


@contextmanager
def readable(shown: str) -> Iterator[None]:
    """Turns what the file system refuses into BadInput."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"{shown} cannot be read: {error.strerror or error}") from error


def _belongs(path: Path, base: Path) -> bool:
    form = form_of(path.name)
    if form is None or hidden(path.relative_to(base).as_posix()) or not path.is_file():
        return False
    with readable(str(path)):
        return form.belongs(path)


def _matching(base: Path, pattern: Path) -> list[Path]:
    try:
        return list(base.glob(pattern.relative_to(base).as_posix()))
    except ValueError as error:
        raise BadInput(f"{pattern} is not a usable glob: {error}") from error


def _relative(path: Path, base: Path) -> str:
    name = path.relative_to(base).as_posix()
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInput(f"the file name {name!a} in {base} is not UTF-8") from error
    return name


def _refuse(error: OSError) -> NoReturn:
    raise BadInput(f"{error.filename} cannot be read: {error.strerror}") from error
