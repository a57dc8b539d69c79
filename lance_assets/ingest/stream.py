"""What a socket says, read in large pieces: most answers fit into one."""

from __future__ import annotations

import socket

BUFFER = 65_536


class Stream:
    """The reading side of a socket as http.client wants it. The standard library's own file of a socket is two objects
    and a buffer for each answer, and cannot tell what is there without waiting."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer, self._at = b"", 0

    def makefile(self, mode: str) -> Stream:
        """Itself: http.client asks for the file of what it takes for a socket."""
        return self

    @property
    def buffered(self) -> int:
        """Bytes that can be read without waiting."""
        return len(self._buffer) - self._at

    def head(self, most: int) -> str | None:
        """The header, latin-1, without the empty line that ends it, if it can be had at once; None = read it line by
        line. Waits for the first bytes. Raises OSError."""
        if not self.buffered and not self._more(BUFFER):
            return None
        end = self._buffer.find(b"\r\n\r\n", self._at, self._at + most)
        return None if end < 0 else self._taken(end + 4 - self._at)[:-4].decode("latin-1")

    def unread(self, data: bytes) -> None:
        """Puts bytes back in front."""
        self._buffer, self._at = data + self._buffer[self._at :], 0

    def readline(self, most: int) -> bytes:
        """Up to and with the end of the line, at most so many bytes, less where the stream ends. Raises OSError."""
        while True:
            end = self._buffer.find(b"\n", self._at, self._at + most) + 1
            if end or self.buffered >= most or not self._more(BUFFER):
                return self._taken(min(most, self.buffered) if not end else end - self._at)

    def read(self, number: int | None = None) -> bytes:
        """So many bytes, less where the stream ends; None = all up to there. Raises OSError."""
        if number is None:
            while self._more(BUFFER):
                pass
            return self._taken(self.buffered)
        missing = number - self.buffered
        if missing <= 0:
            return self._taken(number)
        pieces = [self._taken(self.buffered)]
        while missing > 0 and (piece := self._sock.recv(missing)):
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def flush(self) -> None:
        """Nothing: it only reads."""

    def close(self) -> None:
        """Drops what was not read; the socket is another's to close."""
        self._buffer, self._at = b"", 0

    def _more(self, number: int) -> bool:
        piece = self._sock.recv(number)
        self._buffer, self._at = self._buffer[self._at :] + piece, 0
        return bool(piece)

    def _taken(self, number: int) -> bytes:
        start, self._at = self._at, self._at + number
        return self._buffer[start : self._at]
