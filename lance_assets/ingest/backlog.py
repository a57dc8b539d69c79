"""How far downloads may run ahead of the reader of their results."""

from __future__ import annotations


class Backlog:
    """Counts bytes that were downloaded and not yet taken, over items numbered 0, 1, 2 ... that are taken in order.

    The item that the reader waits for is always admitted, or a full backlog would wait for it for ever. Not
    thread-safe: its schedule guards it.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._taken = 0

    def admits(self, number: int) -> bool:
        """Whether item `number` may be downloaded now."""
        return number <= self._taken or self._bytes < self._max_bytes

    def add(self, size: int) -> None:
        """An item of this many bytes is there."""
        self._bytes += size

    def take(self, size: int) -> None:
        """The reader took the next item, of this many bytes (0 for a failed one)."""
        self._bytes -= size
        self._taken += 1
