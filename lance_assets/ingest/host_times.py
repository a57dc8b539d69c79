"""What the processes of a machine must know about a host: when it may be asked again, and when it was asked last."""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections import defaultdict
from pathlib import Path
from typing import Protocol

from lance_assets.ingest.locks import NamedLocks, fingerprint

#: Seconds: no host is left alone for longer than this, nor remembered.
LONGEST_S = 86_400.0

#: The lock of whoever adds a host; no host has such a name.
TABLE = "/"

NOT_BEFORE, LAST_START, WANTED = range(3)


class HostTimes(Protocol):
    """Times of a host in seconds since the epoch, 0 where nothing is known."""

    def read(self, host: str, which: int) -> float: ...

    def write(self, host: str, which: int, when: float) -> None: ...


class MemoryTimes:
    """For one process."""

    def __init__(self) -> None:
        self._times: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])

    def read(self, host: str, which: int) -> float:
        return self._times[host][which] if host in self._times else 0.0

    def write(self, host: str, which: int, when: float) -> None:
        self._times[host][which] = when


class SharedTimes:
    """A hash table in a memory-mapped file: an entry is a host's fingerprint and its three times, 8 bytes each. A host
    lies within PROBES entries of its place, before the first empty one; the entry of least use makes room for a new
    host. Reading costs no system call."""

    ENTRIES, PROBES, SIZE = 1 << 15, 16, 32

    def __init__(self, file: Path, locks: NamedLocks) -> None:
        """`locks` are those of the same processes."""
        self._locks = locks
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, self.ENTRIES * self.SIZE)
            self._map = mmap.mmap(descriptor, self.ENTRIES * self.SIZE)
        finally:
            os.close(descriptor)

    def read(self, host: str, which: int) -> float:
        offset = self._find(fingerprint(host))
        when = self._time(offset, which) if offset is not None else 0.0
        # A time that far ahead was written before the clock was set back.
        return when if when <= time.time() + LONGEST_S + 1 else 0.0

    def write(self, host: str, which: int, when: float) -> None:
        mark = fingerprint(host)
        offset = self._find(mark)
        if offset is None:
            offset = self._insert(mark)
        struct.pack_into("@d", self._map, offset + 8 + 8 * which, when)

    def _insert(self, mark: int) -> int:
        with self._locks.held(TABLE):
            if (there := self._find(mark)) is not None:
                return there
            places = [(mark + probe) % self.ENTRIES * self.SIZE for probe in range(self.PROBES)]
            offset = min(places, key=lambda place: max(self._time(place, each) for each in range(3)))
            struct.pack_into("@Qddd", self._map, offset, mark, 0.0, 0.0, 0.0)
            return offset

    def _find(self, mark: int) -> int | None:
        for probe in range(self.PROBES):
            offset = (mark + probe) % self.ENTRIES * self.SIZE
            found = struct.unpack_from("@Q", self._map, offset)[0]
            if found == mark:
                return offset
            if not found:
                return None
        return None

    def _time(self, offset: int, which: int) -> float:
        return struct.unpack_from("@d", self._map, offset + 8 + 8 * which)[0]
