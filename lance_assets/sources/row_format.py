"""What every format of rows can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lance_assets.sources.base import Columns

Cells = dict[str, Any]


class RowFormat(ABC):
    """How one kind of file holds rows."""

    @abstractmethod
    def rows(self, path: Path, first: int, columns: Columns) -> Iterator[Cells | str]:
        """Rows from number `first` on: the cells by column name, or a sentence about what is wrong with the row."""

    def survey(self, path: Path) -> tuple[int, set[str]]:
        """(number of rows, names of all columns in readable rows; empty when no row is readable)."""
        count, names = 0, set[str]()
        for cells in self.rows(path, 0, Columns()):
            count += 1
            if not isinstance(cells, str):
                names.update(cells)
        return count, names

    def images(self, path: Path, columns: Columns, rows: Sequence[int]) -> Iterator[bytes | None]:
        """The pictures that lie in the file itself, for ascending row numbers; text holds none."""
        return iter([None] * len(rows))

    def belongs(self, path: Path) -> bool:
        """Whether a file of this kind that a folder happens to hold is part of its data."""
        return True
