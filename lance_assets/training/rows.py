"""Reads rows of one pinned Lance version: text columns by scan, images by row id."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa

from lance_assets.errors import BadInput
from lance_assets.store.objects import reachable

KEYS = {"uri", "version", "filter", "rows"}


@dataclass(frozen=True)
class LanceRows:
    """The "lance" part of a dataset_info entry: which rows of which version. `rows` is the count that is expected."""

    uri: str
    version: int
    filter: str | None = None
    rows: int | None = None


def parse_spec(name: str, spec: Any, folder: str) -> LanceRows:
    """Checks the "lance" part of entry `name`; a relative uri starts at `folder`. Raises BadInput.

    Credentials of object stores come from the environment, so that no configuration file can carry them.
    """
    where = f'data set {name} of dataset_info.json, "lance"'
    if not isinstance(spec, dict) or not isinstance(spec.get("uri"), str):
        raise BadInput(f'{where}: it must be an object with a "uri"')
    if unknown := sorted(set(spec) - KEYS):
        raise BadInput(f"{where}: unknown key {unknown[0]}; known are {', '.join(sorted(KEYS))}")
    version = spec.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BadInput(f'{where}: "version" must be a version number, so that the rows can be named again later')
    uri = spec["uri"] if "://" in spec["uri"] else str(Path(folder, spec["uri"]).resolve())
    return LanceRows(uri, version, spec.get("filter"), spec.get("rows"))


@lru_cache(maxsize=16)
def open_version(uri: str, version: int, pid: int) -> lance.LanceDataset:
    """`pid` is part of the key, because a handle must not be used in a forked child."""
    try:
        with reachable(uri):
            return lance.dataset(uri, version=version)
    except (ValueError, OSError) as error:
        raise BadInput(f"{uri} version {version} cannot be opened: {str(error).splitlines()[0]}") from error


def schema_of(source: LanceRows) -> pa.Schema:
    return open_version(source.uri, source.version, os.getpid()).schema


def scan(source: LanceRows, columns: Sequence[str], with_row_id: bool = True) -> tuple[pa.Table, int]:
    """The rows, in table order, and the bytes read for them. Only `columns` (and those in the filter) are read.

    Raises BadInput where a column is missing, the filter cannot be used, or the count is not the expected one.
    """
    dataset = open_version(source.uri, source.version, os.getpid())
    if missing := [name for name in columns if name not in dataset.schema.names]:
        raise BadInput(f"{source.uri} version {source.version} has no column {missing[0]}")
    dataset.io_stats_incremental()
    try:
        table = dataset.scanner(columns=list(columns), filter=source.filter, with_row_id=with_row_id).to_table()
    except (ValueError, OSError) as error:
        raise BadInput(f"filter {source.filter!r} on {source.uri}: {str(error).splitlines()[0]}") from error
    if source.rows is not None and table.num_rows != source.rows:
        raise BadInput(
            f"{source.uri} version {source.version} gives {table.num_rows} rows for {source.filter!r}; "
            f"the manifest names {source.rows}"
        )
    return table, dataset.io_stats_incremental().read_bytes


def fetch(uri: str, version: int, column: str, row_ids: Sequence[int]) -> tuple[list[list[bytes]], int]:
    """The images of each row id, in the order asked (one per row unless the column is a list), and the bytes read.

    Raises BadInput for a row id that the version does not have.
    """
    dataset = open_version(uri, version, os.getpid())
    dataset.io_stats_incremental()
    wanted = ",".join(str(int(row)) for row in dict.fromkeys(row_ids))
    found = dataset.scanner(
        columns=[column], filter=f"_rowid IN ({wanted})", with_row_id=True, blob_handling="all_binary"
    ).to_table()
    values = dict(zip(found["_rowid"].to_pylist(), found[column].to_pylist(), strict=True))
    if missing := [row for row in row_ids if row not in values]:
        raise BadInput(f"{uri} version {version} has no row with row id {missing[0]}")
    images = [values[row] if isinstance(values[row], list) else [values[row]] for row in row_ids]
    return images, dataset.io_stats_incremental().read_bytes
