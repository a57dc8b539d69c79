"""One file of a ModelScope repository in the cache: its place, its rows, its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from lance_assets.errors import BadInput
from lance_assets.sources.base import Columns, RawRow
from lance_assets.sources.columns import raw_row
from lance_assets.sources.formats import FORMATS
from lance_assets.sources.modelscope_cells import keep_cells, read_cells, survey_cells

PARQUET = FORMATS[".parquet"]


class Shard:
    """Kept under its sha256: parquet as it is, text as parquet of cells, a whole set as the parquet that was made."""

    def __init__(self, cache: Path, path: str, sha256: str, columns: Columns, name: str) -> None:
        self.cache, self.name = cache, name
        self._path, self._columns = path, columns
        self._text = path.lower().endswith((".csv", ".jsonl"))
        self.path = cache / f"{sha256}{'.cells' if self._text else ''}.parquet"
        self.lock = cache / f"{sha256}.lock"

    def exists(self) -> bool:
        return self.path.exists()

    def take(self, download: Path) -> None:
        """Puts a downloaded file that was checked into its place."""
        if self._text:
            keep_cells(download, self.path)
        else:
            download.replace(self.path)

    def survey(self) -> tuple[int, set[str]]:
        """(number of rows, names of all columns). Raises BadInput for what is no parquet file."""
        try:
            return survey_cells(self.path) if self._text else PARQUET.survey(self.path)
        except BadInput as error:
            raise BadInput(f"{self.name} cannot be read: {error}") from error

    def rows(self, first: int, end: int) -> Iterator[RawRow]:
        """Rows [first, end); one that cannot be read comes with its `problem`. Raises BadInput."""
        found = (
            read_cells(self.path, first, end)
            if self._text
            else islice(PARQUET.rows(self.path, first, self._columns), end - first)
        )
        folder = self._path.rpartition("/")[0]
        for row, cells in enumerate(found, first):
            yield RawRow(row, problem=cells) if isinstance(cells, str) else raw_row(row, cells, self._columns, folder)

    def images(self, rows: Sequence[int]) -> Iterator[bytes | None]:
        """The pictures inside the file, for ascending rows; text holds none. Raises BadInput."""
        return iter([None] * len(rows)) if self._text else PARQUET.images(self.path, self._columns, rows)
