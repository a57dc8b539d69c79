"""Lance reads that are safe in a forked child (a data-loader worker, a worker of datasets.map).

Lance must not be used in a child that was forked after Lance was: it crashes there in two runs of three. So a process
that is not the one which imported this module asks a reader process of its own, which is a fresh program.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import pyarrow as pa

from lance_assets.training import rows
from lance_assets.training.reader_process import ReaderProcess

HOME_PID = os.getpid()
_readers: dict[int, ReaderProcess] = {}


def fetch(uri: str, version: int, column: str, row_ids: Sequence[int]) -> tuple[list[list[bytes]], int]:
    """As rows.fetch."""
    if os.getpid() == HOME_PID:
        return rows.fetch(uri, version, column, row_ids)
    return _reader().fetch(uri, version, column, row_ids)


def scan(source: rows.LanceRows, columns: Sequence[str], part: rows.Part) -> tuple[pa.Table, int]:
    """As rows.scan, of one part."""
    if os.getpid() == HOME_PID:
        return rows.scan(source, columns, part)
    return _reader().scan(source, columns, part)


def _reader() -> ReaderProcess:
    """This process's own; it ends when we do."""
    pid = os.getpid()
    if pid not in _readers:
        _readers[pid] = ReaderProcess()
    return _readers[pid]
