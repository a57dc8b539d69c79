"""Downloads that landed and are not in the table yet: a run that is killed need not fetch them again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from lance_assets.ingest.outcome import Fetched, FetchError, Outcome

#: What a killed run left is of no use to anybody after this time, in seconds.
KEEP_S = 7 * 86_400
SUFFIX = ".landed"
#: A record: magic, bytes of the URL, of the facts, of the image (none of a failure); then these three. Facts are a JSON
#: list: the time (seconds since the epoch), then these fields of the outcome, in order.
_HEAD, MAGIC = struct.Struct("<4sIIQ"), b"LA2\n"
_IMAGE = tuple(field.name for field in fields(Fetched) if field.name not in ("data", "fetched_at"))
_FAILURE = ("reason", "detail", "attempts", "status")
_image, _failure = attrgetter(*_IMAGE), attrgetter(*_FAILURE)
_FACTS = json.JSONEncoder(check_circular=False)


class Landing:
    """Final outcomes of one slice of a batch by URL, each on disk the moment that it is known. Thread-safe.

    Images and failures that no later try will mend are kept; a failure in passing is not. A file of records that only
    grows: each is one write, so that the end of the process at any point costs the record in flight at most; nothing
    waits for the disk, since it need not survive the end of the machine.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._files: list[int] = []
        self._places: dict[str, _Place] = {}
        # rows may have moved to another slice since the run that was killed
        for path in folder.glob(f"*{SUFFIX}"):
            file = os.open(path, os.O_RDONLY)
            self._files.append(file)
            self._places |= {place.url: place for place in _records(file) if _intact(place)}
        self._mine = os.open(folder / f"{name}{SUFFIX}", os.O_RDWR | os.O_CREAT)
        self._files.append(self._mine)
        self._end = _whole(self._mine)

    def __contains__(self, url: str) -> bool:
        return url in self._places

    def put(self, url: str, outcome: Outcome) -> None:
        """Keeps an outcome that is worth keeping."""
        if isinstance(outcome, Fetched):
            data, facts = outcome.data, _image(outcome)
        elif isinstance(outcome, FetchError) and not outcome.transient and outcome.attempts:
            data, facts = b"", _failure(outcome)
        else:
            return
        key, said = url.encode(), _FACTS.encode([outcome.fetched_at.timestamp(), *facts]).encode()
        head = _HEAD.pack(MAGIC, len(key), len(said), len(data))
        with self._lock:
            at = self._end
            self._end += os.pwritev(self._mine, [head, key, said, data], at)
            self._places[url] = _Place(self._mine, at + _HEAD.size + len(key), url, len(said), len(data))

    def get(self, url: str) -> Fetched | FetchError | None:
        """What landed for a URL."""
        place = self._places.get(url)
        return None if place is None else place.read()

    def close(self) -> None:
        for file in self._files:
            os.close(file)

    def __enter__(self) -> Landing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Place(NamedTuple):
    """Where the facts (JSON) and the image of a URL lie: `at` in an open file."""

    file: int
    at: int
    url: str
    facts: int
    data: int

    def said(self) -> dict[str, Any]:
        when, *said = json.loads(os.pread(self.file, self.facts, self.at))
        names = _IMAGE if self.data else _FAILURE
        return {"fetched_at": datetime.fromtimestamp(when, UTC), **dict(zip(names, said, strict=True))}

    def read(self) -> Fetched | FetchError:
        if not self.data:
            return FetchError(**self.said())
        return Fetched(data=os.pread(self.file, self.data, self.at + self.facts), **self.said())


def _records(file: int) -> Iterator[_Place]:
    """The whole records of a file, in order."""
    at, size = 0, os.fstat(file).st_size
    while at + _HEAD.size <= size:
        magic, key, facts, data = _HEAD.unpack(os.pread(file, _HEAD.size, at))
        end = at + _HEAD.size + key + facts + data
        if magic != MAGIC or end > size:
            return
        url = os.pread(file, key, at + _HEAD.size).decode("utf-8", "replace")
        yield _Place(file, at + _HEAD.size + key, url, facts, data)
        at = end


def _whole(file: int) -> int:
    """Where the next record goes: behind the whole ones; what a kill left of another is cut off."""
    end = max((place.at + place.facts + place.data for place in _records(file)), default=0)
    if end < os.fstat(file).st_size:
        os.ftruncate(file, end)  # never without need: ext4 would write the file to the disk when it is closed
    return end


def _intact(place: _Place) -> bool:
    """Whether a record is what was written: the machine may have gone down in between."""
    try:
        found = place.read()
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(found, FetchError) or hashlib.sha256(found.data).hexdigest() == found.sha256


@dataclass
class Progress:
    """How many downloads of a batch are over, their bytes, and the failures among them by reason."""

    done: int = 0
    bytes: int = 0
    failed: Counter[str] = field(default_factory=Counter)


def progress(folder: Path) -> Progress:
    """What has landed in a folder so far, on this machine. Failures in passing are not counted."""
    seen = Progress()
    for path in folder.glob(f"*{SUFFIX}"):
        with path.open("rb", buffering=0) as file:
            for place in _records(file.fileno()):
                seen.done += 1
                seen.bytes += place.data
                if not place.data:
                    seen.failed[place.said()["reason"]] += 1
    return seen


def forget(folder: Path) -> None:
    """Drops what landed for a batch: it is in the table now."""
    shutil.rmtree(folder, ignore_errors=True)


def forget_old(folder: Path) -> None:
    """Drops what runs left behind that nobody resumed."""
    for batch in folder.iterdir() if folder.is_dir() else ():
        with suppress(FileNotFoundError):  # another process was faster
            if batch.stat().st_mtime < time.time() - KEEP_S:
                forget(batch)
