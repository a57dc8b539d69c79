"""A batch of rows as scorers get it: columns for who computes on columns, items for who looks at one row at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import pyarrow as pa

from lance_assets.scoring.item import Item

#: Columns that an item has as attributes of its own.
_OWN = ("id", "image", "messages", "caption_missing", "width", "height")


class Rows(Sequence[Item]):
    """Some rows of the table: `table` holds the columns that the scorers of the pass declared, and `id`. Items are made
    when somebody asks for the first one, so that a scorer of columns pays for none."""

    def __init__(self, table: pa.Table, captions: Callable[[list[dict[str, str]]], str]) -> None:
        """`captions` takes the caption out of a conversation (the column messages)."""
        self.table, self._captions = table, captions
        self._items: list[Item] | None = None

    def __len__(self) -> int:
        return self.table.num_rows

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> Rows: ...
    def __getitem__(self, index: int | slice) -> Item | Rows:
        if not isinstance(index, slice):
            return self._all()[index]
        start, stop, step = index.indices(len(self))
        if step != 1:
            raise ValueError("rows are cut without a step")
        part = Rows(self.table.slice(start, max(0, stop - start)), self._captions)
        part._items = None if self._items is None else self._items[start:stop]
        return part

    def take(self, positions: Sequence[int]) -> Rows:
        """Some of the rows, in this order."""
        part = Rows(self.table.take(list(positions)), self._captions)
        part._items = None if self._items is None else [self._items[at] for at in positions]
        return part

    def __iter__(self) -> Iterator[Item]:
        return iter(self._all())

    def forget_pictures(self) -> None:
        """Frees what the items decoded."""
        for item in self._items or ():
            item.forget_pictures()

    def _all(self) -> list[Item]:
        if self._items is None:
            self._items = self._made()
        return self._items

    def _made(self) -> list[Item]:
        count = len(self)
        ids, images = self._column("id", ""), self._column("image")
        captions = [self._captions(said) if said else "" for said in self._column("messages")]
        missing = self._column("caption_missing", False)
        widths, heights = self._column("width"), self._column("height")
        names = [name for name in self.table.column_names if name not in _OWN and not name.startswith("_")]
        others = self.table.select(names).to_pylist() if names else [{}] * count
        return [Item(*row) for row in zip(ids, captions, missing, images, widths, heights, others, strict=True)]

    def _column(self, name: str, default: Any = None) -> list[Any]:
        if name not in self.table.column_names:
            return [default] * len(self)
        return self.table[name].to_pylist()
