"""Downloads that landed and are not in the table yet: a run that is killed need not fetch them again."""

from __future__ import annotations

import json
import logging
import shutil
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from types import TracebackType

from lance_assets.ingest.outcome import Fetched, FetchError, Unmodified

log = logging.getLogger(__name__)

#: What a killed run left is of no use to anybody after this time, in seconds.
KEEP_S = 7 * 86_400
SUFFIX = ".sqlite"
_FACTS = [field.name for field in fields(Fetched) if field.name != "data"]
_COUNTS = "SELECT reason, count(*), sum(length(data)) FROM landed GROUP BY reason"
_FAILURE = ("reason", "detail", "attempts", "status", "fetched_at")


class Landing:
    """Final outcomes of one slice of a batch by URL, each on disk the moment that it is known. Thread-safe.

    Images and failures that no later try will mend are kept; a failure in passing is not. SQLite's write-ahead log
    survives the end of the process at any point; it need not survive the machine's, so nothing waits for the disk.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._mine = _opened(folder / f"{name}{SUFFIX}")
        self._files = [self._mine]
        self._known = _urls(self._mine)
        for path in folder.glob(f"*{SUFFIX}"):  # rows may have moved between slices since the run that was killed
            with suppress(sqlite3.DatabaseError):  # of another process, at its very beginning
                other = _read_only(path)
                self._files.append(other)
                self._known = {**_urls(other), **self._known}

    def __contains__(self, url: str) -> bool:
        return url in self._known

    def put(self, url: str, outcome: Fetched | Unmodified | FetchError) -> None:
        """Keeps an outcome that is worth keeping."""
        if isinstance(outcome, Fetched):
            data, facts, reason = outcome.data, {name: getattr(outcome, name) for name in _FACTS}, None
        elif isinstance(outcome, FetchError) and not outcome.transient and outcome.attempts:
            data, facts, reason = None, {name: getattr(outcome, name) for name in _FAILURE}, outcome.reason
        else:
            return
        said = json.dumps(facts, default=datetime.isoformat)
        with self._lock:
            self._mine.execute("INSERT OR REPLACE INTO landed VALUES (?, ?, ?, ?)", (url, reason, said, data))
            self._known[url] = self._mine

    def get(self, url: str) -> Fetched | FetchError | None:
        """What landed for a URL."""
        with self._lock:
            file = self._known.get(url)
            found = file.execute("SELECT facts, data FROM landed WHERE url = ?", (url,)).fetchone() if file else None
        if found is None:
            return None
        said = json.loads(found[0])
        said["fetched_at"] = datetime.fromisoformat(said["fetched_at"])
        return FetchError(**said) if found[1] is None else Fetched(data=found[1], **said)

    def close(self) -> None:
        for file in self._files:
            file.close()

    def __enter__(self) -> Landing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
        # a file that is being created, or that was removed, tells nothing yet
        with suppress(sqlite3.OperationalError), closing(_read_only(path)) as file:
            for reason, count, size in file.execute(_COUNTS):
                seen.done += count
                seen.bytes += size or 0
                if reason:
                    seen.failed[reason] += count
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


def _opened(path: Path) -> sqlite3.Connection:
    """A file that is damaged (the machine, not the process, went down) is begun anew."""
    try:
        return _connected(path)
    except sqlite3.DatabaseError as error:
        log.warning("%s is damaged (%s): what it held is downloaded again", path, error)
        for one in path.parent.glob(f"{path.name}*"):
            one.unlink(missing_ok=True)
        return _connected(path)


def _connected(path: Path) -> sqlite3.Connection:
    file = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA synchronous = OFF")
    file.execute("CREATE TABLE IF NOT EXISTS landed (url TEXT PRIMARY KEY, reason TEXT, facts TEXT, data BLOB)")
    return file


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30, check_same_thread=False)


def _urls(file: sqlite3.Connection) -> dict[str, sqlite3.Connection]:
    return {url: file for (url,) in file.execute("SELECT url FROM landed")}
