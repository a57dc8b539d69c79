"""Batch keys: a batch is a range of rows of one source file, and its key says so. Pure: no I/O, no Dagster.

Grammar: `<source>-<first 8 hex of the file's sha256>-<first row>-<end row>`, end exclusive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from lance_assets.errors import BadInput

#: Name of the dynamic partitions that hold the batch keys in Dagster.
PARTITIONS = "batches"

KEY = re.compile(
    r"(?P<source>[a-z0-9][a-z0-9_]{0,40})-(?P<file>[0-9a-f]{8})-(?P<first>[0-9]{1,12})-(?P<end>[0-9]{1,12})"
)


@dataclass(frozen=True, order=True)
class Batch:
    """Rows [first, end) of the file of `source` whose sha256 starts with `file`."""

    source: str
    file: str
    first: int
    end: int

    def __str__(self) -> str:
        return f"{self.source}-{self.file}-{self.first}-{self.end}"

    @property
    def rows(self) -> int:
        return self.end - self.first

    @classmethod
    def parse(cls, key: str) -> Batch:
        """Raises BadInput when the key does not follow the grammar."""
        match = KEY.fullmatch(key)
        if match is None or int(match["first"]) >= int(match["end"]):
            raise BadInput(f"{key!r} is not a batch key: expected <source>-<8 hex digits>-<first row>-<end row>")
        return cls(match["source"], match["file"], int(match["first"]), int(match["end"]))


def batch_keys(keys: Iterable[str]) -> list[str]:
    """Those that follow the grammar: a partition that somebody made by hand may have any name, and is no batch."""
    matches = ((key, KEY.fullmatch(key)) for key in keys)
    return [key for key, match in matches if match is not None and int(match["first"]) < int(match["end"])]


def uncovered(rows: int, covered: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The gaps that the ranges `covered` leave in [0, rows), in order."""
    fences = [(0, 0), *sorted(covered), (rows, rows)]
    reach = 0
    for (_, end), (first, _) in pairwise(fences):
        reach = max(reach, end)
        if first > reach:
            yield reach, min(first, rows)


def new_batches(
    source: str,
    files: Iterable[tuple[str, str, int]],
    known: Iterable[Batch],
    batch_rows: int,
    limit: int | None = None,
    paths: Mapping[str, str] = MappingProxyType({}),
) -> list[Batch]:
    """Batches to add so that the first `limit` rows of a source (None = all) are covered, known batches included.

    `files` are (path, sha256, rows) in the source's order, read lazily: none is looked at after the limit is reached.
    Batches that exist are never touched: more rows, more files or another batch size only add ranges that none covers.
    A row is its path and number, so a file that grew (another sha256 under a known path; `paths` gives the path of a
    batch by its key) adds only the rows behind those that it had.
    """
    ranges: dict[str, list[tuple[int, int]]] = {}
    room = limit
    for batch in known:
        if batch.source == source:
            for name in {batch.file, paths.get(str(batch), batch.file)}:
                ranges.setdefault(name, []).append((batch.first, batch.end))
            room = None if room is None else room - batch.rows
    added: list[Batch] = []
    if room is not None and room <= 0:
        return added
    for path, sha256, rows in files:
        file = sha256[:8]
        for first, end in list(uncovered(rows, [*ranges.get(file, []), *ranges.get(path, [])])):
            for start in range(first, end, batch_rows):
                stop = min(start + batch_rows, end, start + (room if room is not None else batch_rows))
                added.append(Batch(source, file, start, stop))
                ranges.setdefault(file, []).append((start, stop))
                if room is not None:
                    room -= stop - start
                    if room <= 0:
                        return added
    return added


def contiguous(keys: Iterable[str], order: Iterable[str]) -> list[tuple[str, str]]:
    """Splits `keys` into (first, last) ranges that are contiguous in `order`, as Dagster's range tags want them."""
    position = {key: at for at, key in enumerate(order)}
    runs: list[tuple[str, str]] = []
    last = -2
    for key in sorted(keys, key=position.__getitem__):
        if position[key] == last + 1:
            runs[-1] = (runs[-1][0], key)
        else:
            runs.append((key, key))
        last = position[key]
    return runs
