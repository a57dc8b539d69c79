"""Every request and every answer, on disk before it counts: what was paid for is never paid for again."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from filelock import FileLock, Timeout

from lance_assets.scoring.judge.records import Record, read_record
from lance_assets.scoring.judge.totals import Totals
from lance_assets.scoring.outcome import Unusable

FILE, LOCK = "journal.jsonl", "journal.lock"
#: Seconds that another process may hold the lock, which it needs for an append.
LOCK_S, PIECE = 60.0, 1 << 20


@dataclass(frozen=True)
class Known:
    """An answer that was paid for: a score, or the reason of a refusal."""

    score: int | None
    refusal: str | None = None


class Journal:
    """One append-only file of JSON lines, readable by its owner alone, for all threads and processes that ask with one
    config. Appends are made under a file lock, after reading what others appended: so they share totals and budget,
    and no line is torn but by a kill; such a line is left where it is and counts for nothing.
    """

    def __init__(self, folder: Path, version: str) -> None:
        """Raises Unusable where the file cannot be written."""
        self.path, self.version = folder / FILE, version
        self.totals = Totals()
        self._known: dict[bytes, Known] = {}
        self._given: set[bytes] = set()
        self._threads = threading.RLock()
        self._read, self._torn = 0, False
        with self._failing():
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / LOCK, timeout=LOCK_S, mode=0o600, thread_local=False)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            os.fchmod(self._file, 0o600)
        with self._alone():
            pass

    def close(self) -> None:
        os.close(self._file)

    def known(self, key: str) -> Known | None:
        """The answer to what has this digest, where there is one."""
        return self._known.get(bytes.fromhex(key))

    def ask(self, asked: Record, over: Callable[[Totals], str | None]) -> str | None:
        """Writes that a request goes out, unless `over` says why it must not: that is returned. It is not forced to
        the disk: a kill does not lose it, and a power cut loses money only where the answer was lost, too."""
        with self._alone():
            if (why := over(self.totals)) is None:
                self._append(asked)
            return why

    def end(self, record: Record) -> None:
        """Writes how a request ended; on return it is on the disk."""
        with self._alone():
            self._append(record)
        with self._failing():
            os.fsync(self._file)

    def give(self, same: Record) -> None:
        """Writes that the row was given an answer that is known, once."""
        if _pair(same) not in self._given:
            with self._alone():
                self._append(same)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._threads, self._failing(), self._lock:
            self._catch_up()
            yield

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except Timeout as error:
            raise Unusable(f"another process holds the journal {self.path}") from error
        except OSError as error:
            raise Unusable(f"the journal {self.path} cannot be written: {error.strerror or error}") from error

    def _catch_up(self) -> None:
        """Takes in what is new in the file. Whoever writes holds the lock, so a line without an end has no writer."""
        size = os.fstat(self._file).st_size
        rest = b""
        while self._read < size:
            piece = os.pread(self._file, min(PIECE, size - self._read), self._read)
            self._read += len(piece)
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._take(read_record(line))
            self._torn = bool(rest)

    def _append(self, record: Record) -> None:
        line = b"\n" * self._torn + record.line()
        written = 0
        while written < len(line):
            written += os.write(self._file, line[written:])
        self._read, self._torn = self._read + len(line), False
        self._take(record)

    def _take(self, record: Record | None) -> None:
        if record is None or record.version != self.version:
            return
        self.totals.add(record)
        if record.kind == "answer":
            self._known[bytes.fromhex(record.key)] = Known(record.score)
        elif record.kind == "refused":
            self._known[bytes.fromhex(record.key)] = Known(None, record.reason or "")
        if record.kind in ("answer", "refused", "same"):
            self._given.add(_pair(record))


def records(folder: Path) -> Iterator[Record]:
    """All that a journal holds, in order; nothing where there is none. Raises OSError."""
    path = folder / FILE
    if path.exists():
        with path.open("rb") as file:
            yield from (record for line in file if (record := read_record(line)) is not None)


def _pair(record: Record) -> bytes:
    return blake2b(f"{record.id}\0{record.key}".encode(), digest_size=8).digest()
