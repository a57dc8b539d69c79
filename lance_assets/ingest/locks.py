"""Locks among the processes of one machine that die with their owner."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path

#: Locks of one name are numbered below this.
NUMBERS = 1024


@lru_cache(4096)
def fingerprint(name: str) -> int:
    """50 bits that stand for a name. Two names with equal bits share their locks, which does no harm."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) >> 14


class NamedLocks:
    """Locks (name, number), each held by one thread of one process.

    With a file, one byte range a lock: the kernel frees them when their process ends, however it ends, and no host
    costs a file descriptor. Such locks belong to a process, so whatever one process does with a file goes through one
    object: use `shared_locks`. Without a file, locks among the threads of this object.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._held: set[tuple[str, int]] = set()
        self._guard = threading.Lock()
        self._descriptor: int | None = None
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self, name: str, number: int = 0) -> bool:
        """Whether the lock is now ours."""
        with self._guard:
            if (name, number) in self._held:
                return False
            if self._descriptor is not None:
                try:
                    fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(name, number))
                except (BlockingIOError, PermissionError):  # either means: held by another process
                    return False
            self._held.add((name, number))
            return True

    def give(self, name: str, number: int = 0) -> None:
        """Frees a lock if it is ours."""
        with self._guard:
            if (name, number) not in self._held:
                return
            self._held.remove((name, number))
            if self._descriptor is not None:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _offset(name, number))

    @contextmanager
    def held(self, name: str, number: int = 0) -> Iterator[None]:
        """Waits for a lock that is only ever held for microseconds."""
        while not self.take(name, number):
            time.sleep(0.001)
        try:
            yield
        finally:
            self.give(name, number)


def _offset(name: str, number: int) -> int:
    return fingerprint(name) * NUMBERS + number


@cache
def shared_locks(file: Path) -> NamedLocks:
    """The one object of this process for a lock file."""
    return NamedLocks(file)
