"""Files under data/: names, atomic writes, and the lock that makes one writer per batch."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout


@dataclass(frozen=True)
class DataRoot:
    """Where the store lives."""

    path: Path

    @property
    def captions(self) -> Path:
        return self.path / "captions"

    @property
    def manifests(self) -> Path:
        return self.path / "manifests"

    images = property(lambda self: str(self.path / "images.lance"))
    rejects = property(lambda self: str(self.path / "rejects.lance"))
    ledger = property(lambda self: str(self.path / "ledger.lance"))
    metadata = property(lambda self: self.path / "metadata.json")


def table_exists(uri: str) -> bool:
    """True for a Lance table with at least one version: a folder that a killed creation left behind is none."""
    return any((Path(uri) / "_versions").glob("*.manifest"))


class Busy(RuntimeError):
    """Somebody else holds the claim."""


@contextmanager
def claim(root: DataRoot, name: str, timeout: float = 600) -> Iterator[None]:
    """One writer per name (a batch key, or a table). The kernel frees the lock when its process dies.

    Waits up to `timeout` seconds, then raises Busy. The lock file itself stays: deleting it would race.
    """
    folder = root.path / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / f"{name}.lock", timeout=timeout):
            yield
    except Timeout as error:
        raise Busy(f"{name} is being written by another process for more than {timeout:.0f} s") from error


def write_atomically(path: Path, data: bytes) -> None:
    """A reader sees the old file or the whole new one, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with draft.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode())
