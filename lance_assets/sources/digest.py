"""What a range of rows of a source says, as one digest: tells whether rows changed when their file did."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from lance_assets.sources.base import RawRow, Source, SourceFile


class RowsDigest:
    """SHA-256 over rows as they came, pictures that lie in the file itself included. Rows may pass through it."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def of(self, rows: Iterable[RawRow]) -> Iterator[RawRow]:
        """The same rows, taken note of."""
        for row in rows:
            self._sha256.update(repr(row).encode("utf-8", "replace") + b"\1")
            yield row

    def add_images(self, images: Iterable[bytes | None]) -> None:
        for image in images:
            self._sha256.update(hashlib.sha256(image or b"").digest())

    def hex(self) -> str:
        return self._sha256.hexdigest()


def rows_digest(source: Source, file: SourceFile, first: int, end: int) -> str:
    """Digest of rows [first, end) of a file as it is now. Raises BadInput."""
    digest = RowsDigest()
    inside = [row.row for row in digest.of(source.read(file, first, end)) if row.embedded]
    digest.add_images(source.images(file, inside))
    return digest.hex()
