"""References to images in Lance: short strings that stand in a data set where the bytes would be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote

from lance_assets.training import rows, stats
from lance_assets.training.reader_process import ReaderProcess

PREFIX = "lance-row:"
#: Lance is not safe in a forked child, so a process that is not this one (a data-loader worker) asks a fresh process.
HOME_PID = os.getpid()
_readers: dict[int, ReaderProcess] = {}


class Reference(NamedTuple):
    """One image: the `item`-th of column `column` in the row with stable id `row`."""

    uri: str
    version: int
    column: str
    row: int
    item: int

    def __str__(self) -> str:
        return f"{PREFIX}{quote(self.uri)}?{self.version}&{quote(self.column)}&{self.row}&{self.item}"


def parse(text: str) -> Reference:
    uri, _, rest = text.removeprefix(PREFIX).rpartition("?")
    version, column, row, item = rest.split("&")
    return Reference(unquote(uri), int(version), unquote(column), int(row), int(item))


def resolve(texts: Sequence[str]) -> list[bytes]:
    """The encoded images of the references, in order: one read per table, version and column."""
    references = [parse(text) for text in texts]
    groups = dict.fromkeys(reference[:3] for reference in references)
    found: dict[Reference, bytes] = {}
    for group in groups:
        uri, version, column = group
        members = [reference for reference in references if reference[:3] == group]
        images, read = _fetch(uri, version, column, [reference.row for reference in members])
        stats.note(columns=[column], images=len(members), bytes=read)
        found.update({member: image[member.item] for member, image in zip(members, images, strict=True)})
    return [found[reference] for reference in references]


def _fetch(uri: str, version: int, column: str, row_ids: list[int]) -> tuple[list[list[bytes]], int]:
    pid = os.getpid()
    if pid == HOME_PID:
        return rows.fetch(uri, version, column, row_ids)
    if pid not in _readers:
        _readers[pid] = ReaderProcess()
    return _readers[pid].fetch(uri, version, column, row_ids)
