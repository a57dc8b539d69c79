"""How far downloads may run ahead of the reader of their results."""

from __future__ import annotations

import threading


class Backlog:
    """Counts bytes that were downloaded and not yet taken, over items numbered 0, 1, 2 ... that are taken in order.

    The item that the reader waits for is always admitted, or a full backlog would wait for it for ever.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._taken = 0
        self._abandoned = False
        self._changed = threading.Condition()

    def admit(self, number: int) -> bool:
        """Waits until item `number` may be downloaded; False when nobody reads any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or number <= self._taken or self._bytes < self._max_bytes)
            return not self._abandoned

    def add(self, size: int) -> None:
        """An item of this many bytes is there."""
        with self._changed:
            self._bytes += size

    def take(self, size: int) -> None:
        """The reader took the next item, of this many bytes (0 for a failed one)."""
        with self._changed:
            self._bytes -= size
            self._taken += 1
            self._changed.notify_all()

    def abandon(self) -> None:
        """The reader is gone: whoever waits gives up."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
