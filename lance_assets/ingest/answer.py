"""The header of an HTTP/1.1 answer, read quickly: the standard library builds an e-mail of it, which takes longer than
all of the rest. The body is the standard library's."""

from __future__ import annotations

import socket
from http.client import BadStatusLine, HTTPException, HTTPResponse, LineTooLong, RemoteDisconnected
from typing import Protocol, cast

from lance_assets.ingest.stream import Stream

CONTINUE = 100
#: As http.client has them: bytes of a line, number of lines.
LONGEST_LINE, MOST_LINES = 65_536, 100
#: Bytes of a header that is read at once.
USUAL = 8_192


class Lines(Protocol):
    """What a header is read from."""

    def readline(self, most: int, /) -> bytes: ...


class Headers:
    """Header fields by name, in any case; latin-1, as http.client reads them."""

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = {}

    def add(self, name: str, value: str) -> None:
        self._values.setdefault(name.lower(), []).append(value)

    def get(self, name: str, default: str = "") -> str:
        """The first field of a name."""
        found = self._values.get(name.lower())
        return found[0] if found else default

    def get_all(self, name: str) -> list[str]:
        return self._values.get(name.lower(), [])


class Response(HTTPResponse):
    """An answer to a GET (or to a CONNECT) over a socket."""

    headers: Headers

    def __init__(self, sock: socket.socket, method: str = "GET") -> None:
        self._stream = Stream(sock)
        super().__init__(cast(socket.socket, self._stream), method=method)  # it only asks for the file of it

    def begin(self) -> None:
        """Reads the header. Raises HTTPException, OSError."""
        while True:
            version, status, reason, self.headers = read_head(self._stream)
            if status != CONTINUE:
                break
        self.code = self.status = status
        self.reason, self.version = reason, version
        self.chunked = self.headers.get("transfer-encoding").lower() == "chunked"
        self.chunk_left = None
        self.length = None if self.chunked else _length(self.headers.get("content-length"))
        if status in (204, 304) or status < 200:
            self.length = 0
        # without a length only the end of the connection ends the body
        self.will_close = closes(version, self.headers) or not (self.chunked or self.length is not None)

    def arrived(self) -> bool:
        """Whether all of the body is there, so that reading it waits for nobody."""
        return self.length is not None and self._stream.buffered >= self.length


def read_head(stream: Stream) -> tuple[int, int, str, Headers]:
    """(10 or 11 for HTTP/1.0 or a later 1.x, status, reason, header fields). Raises HTTPException, OSError."""
    head = stream.head(USUAL)
    if head is not None:
        first, *lines = head.split("\r\n")
        if (headers := _plain(lines)) is not None and "\n" not in first:
            return (*_status(first), headers)
        stream.unread(f"{head}\r\n\r\n".encode("latin-1"))
    return (*read_status(stream), read_headers(stream))


def _plain(lines: list[str]) -> Headers | None:
    """Fields of which each is a line of its own and well-formed; None for all others, which `read_headers` judges."""
    if len(lines) > MOST_LINES:
        return None
    headers = Headers()
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line:
            return None
        headers.add(name, value.strip())
    return headers


def read_status(stream: Lines) -> tuple[int, int, str]:
    """(10 or 11 for HTTP/1.0 or a later 1.x, status, reason). Raises HTTPException, OSError."""
    line = stream.readline(LONGEST_LINE + 1).decode("latin-1")
    if not line:
        raise RemoteDisconnected("the connection ended without an answer")
    return _status(line)


def _status(line: str) -> tuple[int, int, str]:
    version, status, reason = (*line.split(None, 2), "", "")[:3]
    if not version.startswith("HTTP/1.") or not (status.isascii() and status.isdigit() and len(status) == 3):
        raise BadStatusLine(line[:40])
    return 10 if version == "HTTP/1.0" else 11, int(status), reason.strip()


def closes(version: int, headers: Headers) -> bool:
    """Whether the server ends the connection after this answer (RFC 9112, section 9.3)."""
    said = headers.get("connection").lower()
    return "close" in said if version == 11 else "keep-alive" not in said


def read_headers(stream: Lines) -> Headers:
    """Fields up to the empty line. A folded line goes on with the one before. Raises HTTPException for what is no
    header, LineTooLong, OSError."""
    headers = Headers()
    name, value = "", ""
    for _ in range(MOST_LINES + 1):
        line = stream.readline(LONGEST_LINE + 1)
        if len(line) > LONGEST_LINE:
            raise LineTooLong("header line")
        if line[:1] in (b" ", b"\t") and name and line.strip():
            value = f"{value} {line.strip().decode('latin-1')}"
            continue
        if name:
            headers.add(name, value)
        if line in (b"\r\n", b"\n", b""):
            return headers
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name.strip() or name != name.rstrip():
            raise HTTPException(f"{line[:40]!r} is no header field")
        value = value.strip()
    raise HTTPException(f"more than {MOST_LINES} header fields")


def _length(value: str) -> int | None:
    return int(value) if value.isascii() and value.isdigit() else None
