"""How far a download into a folder is, for the log and for whoever has to decide that it hangs."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

LOG_SECONDS = 10.0
"""Between two lines about one download."""


class Progress:
    """Watches a folder grow while something is downloaded into it, and says so in the log every LOG_SECONDS."""

    def __init__(self, name: str, folder: Path, size: int) -> None:
        self._name, self._folder, self._size = name, folder, size
        self._first = self._last = self._bytes()
        self._start = self._said = time.monotonic()
        going_on = f", {self._first / 1e6:.1f} MB of it are here already" if self._first else ""
        log.info("%s: loading %s%s", name, f"{size / 1e6:.1f} MB" if size else "a file", going_on)

    def grew(self) -> bool:
        """Whether there are more bytes (or, after a fresh start, fewer) than at the last look."""
        now, before = self._bytes(), self._last
        self._last = now
        if time.monotonic() - self._said >= LOG_SECONDS:
            self._said = time.monotonic()
            of = f" of {self._size / 1e6:.1f}" if self._size else ""
            log.info("%s: %.1f%s MB, %.1f MB/s", self._name, now / 1e6, of, self._rate(now))
        return now != before

    def done(self, size: int) -> None:
        """The last line, with the file's size in bytes."""
        log.info("%s: %.1f MB, %.1f MB/s, done", self._name, size / 1e6, self._rate(size))

    def _rate(self, now: int) -> float:
        return max(0, now - self._first) / 1e6 / max(time.monotonic() - self._start, 1e-3)

    def _bytes(self) -> int:
        total = 0
        for path in self._folder.rglob("*"):
            with suppress(FileNotFoundError):  # renamed while we look
                total += path.stat().st_size if path.is_file() else 0
        return total
