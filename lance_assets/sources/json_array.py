"""Rows of one JSON array of objects, read piece by piece."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any

from lance_assets.errors import BadInput
from lance_assets.sources.base import Columns
from lance_assets.sources.row_format import Cells, RowFormat

PIECE = 1 << 20
#: A longer element is no row but an accident.
MAX_ELEMENT = 16_000_000

_SPACE = re.compile(r"[ \t\r\n]*")
_START = re.compile(rb"(\xef\xbb\xbf)?\s*\[\s*\{")


class JsonArray(RowFormat):
    """An array of objects, UTF-8. What breaks the array makes the whole file bad input: nothing tells where the next
    row begins."""

    def rows(self, path: Path, first: int, columns: Columns) -> Iterator[Cells | str]:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as stream:
            try:
                for number, element in islice(enumerate(_Reader(stream).elements()), first, None):
                    yield element if isinstance(element, dict) else _problem(element, number, path)
            except (ValueError, RecursionError) as error:
                raise BadInput(f"{path} is not a JSON array of objects: {error}") from error

    def belongs(self, path: Path) -> bool:
        """Folders hold many a .json that is a setting."""
        with path.open("rb") as stream:
            return _START.match(stream.read(4096)) is not None


def _problem(element: Any, number: int, path: Path) -> str:
    if isinstance(element, UnicodeEncodeError):
        return f"element {number} of {path.name} is not UTF-8"
    return f"element {number} of {path.name} is not a JSON object: it is a {type(element).__name__}"


class _Reader:
    """The elements of an array in a text of any length; memory is a piece and the longest element."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream, self._decoder = stream, json.JSONDecoder()
        self._text, self._at, self._more = "", 0, True

    def elements(self) -> Iterator[Any]:
        """One that is not UTF-8 comes as the UnicodeEncodeError. Raises ValueError, RecursionError."""
        self._expect("[")
        if self._next() == "]":
            self._at += 1
        else:
            yield self._element()
            while self._expect(",]") == ",":
                yield self._element()
        if rest := self._next():
            raise ValueError(f"{rest!r} follows its end")

    def _element(self) -> Any:
        start_of_text = self._next()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                if end < len(self._text) or not self._more:
                    break
            except json.JSONDecodeError as error:
                if not self._more:
                    raise ValueError(f"{error.msg} in an element that starts with {start_of_text!r}") from error
            if len(self._text) - self._at > MAX_ELEMENT:
                raise ValueError(f"an element has more than {MAX_ELEMENT} characters, or breaks off")
            self._read()
        source = self._text[self._at : end]
        self._at = end
        try:
            source.encode()
        except UnicodeEncodeError as error:
            return error
        return value

    def _expect(self, marks: str) -> str:
        found = self._next()
        if not found or found not in marks:
            raise ValueError(f"{' or '.join(marks)} is expected, not {found!r}" if found else "it breaks off")
        self._at += 1
        return found

    def _next(self) -> str:
        """The next character that is no space, without taking it; empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more:
                return ""
            self._read()

    def _read(self) -> None:
        piece = self._stream.read(max(PIECE, len(self._text) - self._at))
        self._text, self._at, self._more = self._text[self._at :] + piece, 0, bool(piece)
