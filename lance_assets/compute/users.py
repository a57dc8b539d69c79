"""Who uses a shared thing on this machine: counted by file locks, which the kernel frees when a process is killed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Users:
    """The processes that use `name`; `folder` is where they say so."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / f"{name}.users"

    @contextmanager
    def used(self, last: Callable[[], object]) -> Iterator[None]:
        """Counts as a user for the length of the block; `last` is called at its end where nobody else is one. Whoever
        comes while it is called waits."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            try:
                yield
            finally:
                if _alone(handle):
                    last()
        finally:
            os.close(handle)


def _alone(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
