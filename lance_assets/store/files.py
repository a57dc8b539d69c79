"""Files under data/, which is a folder or an object store: one set of functions for both, by name below the root."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike, fspath
from pathlib import Path
from typing import IO, Any

import obstore

from lance_assets.atomic import as_json, write_atomically
from lance_assets.store.objects import bucket, open_object, reachable, read_object


@dataclass(frozen=True, init=False)
class DataRoot:
    """Where the store lives: a folder, or a URI such as s3://bucket/prefix. Only the URI travels to other processes;
    each takes its credentials from its own environment."""

    uri: str

    def __init__(self, uri: str | PathLike[str]) -> None:
        text = fspath(uri)
        object.__setattr__(self, "uri", text.rstrip("/") if "://" in text else str(Path(text)))

    @property
    def is_local(self) -> bool:
        return "://" not in self.uri

    @property
    def folder(self) -> Path:
        """Of a local root only; raises ValueError on an object store."""
        if not self.is_local:
            raise ValueError(f"{self.uri} is no folder")
        return Path(self.uri)

    images = property(lambda self: self.at("images.lance"))
    rejects = property(lambda self: self.at("rejects.lance"))
    ledger = property(lambda self: self.at("ledger.lance"))

    def at(self, name: str) -> str:
        """Path or URI of a file, for people and for Lance."""
        return f"{self.uri}/{name}"


def read(root: DataRoot, name: str) -> bytes:
    """Raises FileNotFoundError, Unreachable."""
    return (root.folder / name).read_bytes() if root.is_local else read_object(root.uri, name)


def write(root: DataRoot, name: str, data: bytes) -> None:
    """A reader sees the old file or the whole new one. Raises Unreachable."""
    with reachable(root.uri):
        if root.is_local:
            write_atomically(root.folder / name, data)
        else:
            obstore.put(bucket(root.uri), name, data)


def read_json(root: DataRoot, name: str) -> Any:
    """Raises FileNotFoundError, Unreachable."""
    return json.loads(read(root, name))


def write_json(root: DataRoot, name: str, value: Any) -> None:
    write(root, name, as_json(value))


def opened(root: DataRoot, name: str) -> IO[bytes]:
    """A seekable file of which only what is read is fetched. Raises FileNotFoundError, Unreachable."""
    return (root.folder / name).open("rb") if root.is_local else open_object(root.uri, name)


def names(root: DataRoot, folder: str) -> list[str]:
    """Names of the files right in a folder, sorted; none where it does not exist. Raises Unreachable."""
    if root.is_local:
        here = root.folder / folder
        return sorted(path.name for path in here.iterdir() if path.is_file()) if here.is_dir() else []
    with reachable(root.uri):
        found = obstore.list_with_delimiter(bucket(root.uri), folder)["objects"]
    return sorted(one["path"].removeprefix(f"{folder}/") for one in found)


def listing(root: DataRoot, folder: str) -> Iterator[tuple[str, int, datetime]]:
    """Every file below a folder, in no order: its name within the folder, bytes, last change. Raises Unreachable."""
    if root.is_local:
        here = root.folder / folder
        for path in here.rglob("*"):
            with suppress(FileNotFoundError):  # it went while we looked
                if path.is_file():
                    said = path.stat()
                    yield path.relative_to(here).as_posix(), said.st_size, datetime.fromtimestamp(said.st_mtime, UTC)
        return
    with reachable(root.uri):
        for some in obstore.list(bucket(root.uri), folder):
            for one in some:
                yield one["path"].removeprefix(f"{folder}/"), one["size"], one["last_modified"]


def delete(root: DataRoot, name: str) -> None:
    """Also where it is gone already. Raises Unreachable."""
    with suppress(FileNotFoundError):
        if root.is_local:
            (root.folder / name).unlink()
        else:
            with reachable(root.uri):
                obstore.delete(bucket(root.uri), name)


def in_large_pieces(path: str) -> str:
    """The same file, for a Lance writer of images. By its plain path Lance writes each image and each padding by itself
    and waits for another thread to do it; by this scheme it writes 5 MB at a time, as it does to an object store. Until
    the file is whole it has the name of a piece."""
    return path if "://" in path else f"file-object-store:{Path(path).absolute().as_uri().removeprefix('file:')}"


def is_piece(name: str) -> bool:
    """Whether this is the name of a file that is being written in large pieces, or was when its writer died."""
    return re.fullmatch(r".+\.lance#\d+", name) is not None


def table_exists(uri: str) -> bool:
    """True for a Lance table with at least one version: a folder that a killed creation left behind is none."""
    return any(name.endswith(".manifest") for name, _, _ in listing(DataRoot(uri), "_versions"))
