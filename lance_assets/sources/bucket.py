"""Files of rows in an object store, each fetched once into a folder of this machine."""

from __future__ import annotations

import glob
import hashlib
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from filelock import FileLock
from obstore.exceptions import BaseError, PreconditionError

from lance_assets.errors import BadInput, Unreachable
from lance_assets.objects import OBJECT_STORES, bucket, in_one_line, reachable
from lance_assets.sources.folder import hidden
from lance_assets.sources.formats import FORMATS, form_of

if TYPE_CHECKING:
    from obstore import ObjectMeta

#: A store that does not answer is given up after this time, in seconds.
RETRY_S = 20.0
PIECE = 8 << 20


class Bucket:
    """`s3://bucket/key` (also gs, az): an object, all objects below a prefix, or a glob over keys.

    Credentials and endpoint come from the environment alone. Names are relative as those of a Folder are. What is
    fetched is kept by name, etag, size and time of change: an object that did not change is not fetched again.
    """

    def __init__(self, uri: str, cache: Path) -> None:
        """Asks nothing yet. Raises BadInput for a URI that names no bucket of a known kind, or that holds a user."""
        scheme, _, rest = uri.partition("://")
        host, _, self._key = rest.partition("/")
        if "@" in host:
            raise BadInput(f"{scheme}://... names a user: credentials of object stores come from the environment")
        if scheme not in OBJECT_STORES or not host:
            known = ", ".join(f"{name}://" for name in OBJECT_STORES)
            raise BadInput(f"files:{scheme}://...: expected {known} with a bucket, or a path on this machine")
        self._uri, self._store, self._cache = uri, f"{scheme}://{host}", cache / "objects"
        self._base: str | None = None
        self._known: dict[str, ObjectMeta] = {}

    def names(self) -> list[str]:
        """The files of rows, sorted: one listing. Raises BadInput when there are none or the store does not answer."""
        with self._usable():
            found = self._single() or self._below()
        self._known = {name: one for name, one in found.items() if form_of(name) is not None}
        if not self._known:
            raise BadInput(f"{self._uri} holds no {', '.join(sorted(FORMATS))} object")
        return sorted(self._known)

    def stamps(self) -> list[tuple[str | int | None, ...]]:
        """Name and version of each object: one listing. Raises BadInput as `names` does."""
        return [(name, *_version(self._known[name])) for name in self.names()]

    def local(self, name: str) -> Path:
        """The object as a file of this machine, fetched if it is not there yet. Raises BadInput."""
        if name not in self._known:
            self.names()
        if name not in self._known:
            raise BadInput(f"{self.shown(name)} does not exist any more")
        said = self._known[name]
        version = (self._store, said["path"], *_version(said))
        folder = self._cache / hashlib.sha256("\0".join(map(str, version)).encode()).hexdigest()[:32]
        path = folder / name.rpartition("/")[2]
        with self._usable():
            if not path.exists():
                folder.mkdir(parents=True, exist_ok=True)
                with FileLock(folder / ".lock"):
                    if not path.exists():  # another process may have been faster
                        self._fetch(said, path)
        return path

    def shown(self, name: str) -> str:
        """The URI of an object."""
        return f"{self._store}/{self._base or ''}{name}"

    def roots(self) -> tuple[Path, ...]:
        """None: a path in an object store is nothing that could be opened here."""
        return ()

    def _single(self) -> dict[str, ObjectMeta]:
        """The one object that the URI names, if it names one."""
        if glob.has_magic(self._key) or not self._key or self._key.endswith("/"):
            return {}
        try:
            said = obstore.head(bucket(self._store, RETRY_S), self._key)
        except FileNotFoundError:
            return {}
        self._base = self._key[: self._key.rfind("/") + 1]
        return {self._key.removeprefix(self._base): said}

    def _below(self) -> dict[str, ObjectMeta]:
        """All objects under the prefix, or of those under the fixed part of a glob the ones that match."""
        parts = self._key.rstrip("/").split("/")
        fixed = next((index for index, part in enumerate(parts) if glob.has_magic(part)), len(parts))
        key, shape = "/".join(parts[:fixed]), parts[fixed:] or ["**"]
        self._base = f"{key}/" if key else ""
        found: dict[str, ObjectMeta] = {}
        for some in obstore.list(bucket(self._store, RETRY_S), key or None):
            for one in some:
                name = one["path"].removeprefix(self._base)
                if not hidden(name) and _matches(name.split("/"), shape):
                    found[name] = one
        return found

    def _fetch(self, said: ObjectMeta, path: Path) -> None:
        """Streams an object to a file that appears at once."""
        options: Any = {"if_match": said["e_tag"]} if said["e_tag"] else {}
        draft = path.with_name(f".{uuid.uuid4().hex}")
        try:
            with draft.open("wb") as sink:
                for piece in obstore.get(bucket(self._store, RETRY_S), said["path"], options=options).stream(PIECE):
                    sink.write(piece)
                sink.flush()
                os.fsync(sink.fileno())
            if draft.stat().st_size != said["size"]:
                raise BadInput(f"{self._store}/{said['path']} changed while it was fetched")
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    @contextmanager
    def _usable(self) -> Iterator[None]:
        """Turns what the store refuses into BadInput; no text of it shows a user or a signature."""
        try:
            with reachable(self._store):
                yield
        except Unreachable as error:
            raise BadInput(str(error)) from None
        except (PreconditionError, FileNotFoundError):
            raise BadInput(f"an object of {self._uri} changed while it was fetched; run again") from None
        except (BaseError, OSError) as error:
            raise BadInput(f"{self._uri} cannot be fetched to {self._cache}: {in_one_line(str(error))}") from None


def _version(said: ObjectMeta) -> tuple[str | int | None, ...]:
    return said["e_tag"], said["size"], said["last_modified"].isoformat()


def _matches(name: Sequence[str], shape: Sequence[str]) -> bool:
    """Whether the parts of a name fit those of a glob: * stays within a folder, ** is any number of folders."""
    if not shape or not name:
        return not shape and not name
    if shape[0] == "**":
        return any(_matches(name[skip:], shape[1:] or ["*"]) for skip in range(len(name)))
    return fnmatchcase(name[0], shape[0]) and _matches(name[1:], shape[1:])
