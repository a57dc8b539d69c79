"""Reads rows of one pinned Lance version: text columns by scan, images by row id."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import lance
import numpy as np
import pyarrow as pa

from lance_assets.errors import BadInput
from lance_assets.store.objects import reachable

KEYS = {"uri", "version", "tag", "filter", "rows", "columns"}
#: Rows of a part at most: small enough that two rows of a small table can go to two ranks, large enough for one scan.
PART_ROWS = 512


@dataclass(frozen=True)
class LanceRows:
    """The "lance" part of a dataset_info entry: which rows of which version.

    `rows` is the count that is expected, `columns` are columns made by Lance SQL ({name: expression}), `name` is the
    entry's.
    """

    uri: str
    version: int
    filter: str | None = None
    rows: int | None = None
    columns: dict[str, str] | None = None
    name: str = ""

    def entry(self) -> dict[str, Any]:
        """As dataset_info.json has it."""
        said = {key: value for key, value in vars(self).items() if key != "name"}
        return {key: value for key, value in said.items() if value is not None or key == "filter"}


class Part(NamedTuple):
    """Some of the rows of a fragment that the filter selects, in table order."""

    fragment: int
    offset: int
    limit: int


def parse_spec(name: str, spec: Any, folder: str) -> LanceRows:
    """Checks the "lance" part of entry `name`; a relative uri starts at `folder`, a tag is looked up. Raises BadInput.

    Credentials of object stores come from the environment, so that no configuration file can carry them.
    """
    where = f'data set {name} of dataset_info.json, "lance"'
    if not isinstance(spec, dict) or not isinstance(spec.get("uri"), str):
        raise BadInput(f'{where}: it must be an object with a "uri"')
    if unknown := sorted(set(spec) - KEYS):
        raise BadInput(f"{where}: unknown key {unknown[0]}; known are {', '.join(sorted(KEYS))}")
    columns = spec.get("columns")
    if columns is not None and not (isinstance(columns, dict) and all(isinstance(v, str) for v in columns.values())):
        raise BadInput(f'{where}: "columns" must map names to Lance SQL, {{"caption": "messages[2][\'content\']"}}')
    uri = spec["uri"] if "://" in spec["uri"] else str(Path(folder, spec["uri"]).resolve())
    version, tag = spec.get("version"), spec.get("tag")
    if tag is not None and version is None and isinstance(tag, str):
        version = _opened(uri, tag).version
    elif tag is not None or not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BadInput(
            f'{where}: either "version" must be a version number, or "tag" a tag of the table, so that the rows can be '
            "named again later"
        )
    return LanceRows(uri, version, spec.get("filter"), spec.get("rows"), columns, name)


@lru_cache(maxsize=16)
def open_version(uri: str, version: int, pid: int) -> lance.LanceDataset:
    """`pid` is part of the key, because a handle must not be used in a forked child. Raises BadInput."""
    return _opened(uri, version)


def _opened(uri: str, version: int | str) -> lance.LanceDataset:
    try:
        with reachable(uri):
            return lance.dataset(uri, version=version)
    except (ValueError, OSError) as error:
        kind = "version" if isinstance(version, int) else "tag"
        raise BadInput(f"{uri} {kind} {version} cannot be opened: {str(error).splitlines()[0]}") from error


def schema_of(source: LanceRows) -> pa.Schema:
    return open_version(source.uri, source.version, os.getpid()).schema


def scan(source: LanceRows, columns: Sequence[str], part: Part | None = None) -> tuple[pa.Table, int]:
    """The rows, in table order, with their `_rowid`, and the bytes read for them; of a part, or all.

    Only `columns` (and those in the filter) are read. Raises BadInput where a column is missing, the filter or an
    expression cannot be used, or the count is not the expected one.
    """
    dataset = open_version(source.uri, source.version, os.getpid())
    made = source.columns or {}
    if missing := [name for name in columns if name not in dataset.schema.names and name not in made]:
        raise BadInput(f"{source.uri} version {source.version} has no column {missing[0]}")
    wanted: Any = {name: made.get(name, name) for name in columns} if made else list(columns)
    within: dict[str, Any] = {}
    if part is not None:
        within = {"fragments": [dataset.get_fragment(part.fragment)], "offset": part.offset, "limit": part.limit}
    dataset.io_stats_incremental()
    try:
        table = dataset.scanner(columns=wanted, filter=source.filter, with_row_id=True, **within).to_table()
    except (ValueError, OSError) as error:
        raise BadInput(f"filter {source.filter!r} on {source.uri}: {str(error).splitlines()[0]}") from error
    if part is None:
        _check_count(source, table.num_rows)
    return table, dataset.io_stats_incremental().read_bytes


def parts(source: LanceRows) -> list[Part]:
    """The rows in parts of at most PART_ROWS, in table order; only the columns of the filter are read. Raises BadInput
    as `scan` does."""
    dataset = open_version(source.uri, source.version, os.getpid())
    counts: Counter[int] = Counter()
    try:
        scanner = dataset.scanner(columns=[], filter=source.filter, with_row_address=True)
        for batch in scanner.to_batches():
            found, rows = np.unique(batch["_rowaddr"].to_numpy() >> np.uint64(32), return_counts=True)
            counts.update(dict(zip(found.tolist(), rows.tolist(), strict=True)))
    except (ValueError, OSError) as error:
        raise BadInput(f"filter {source.filter!r} on {source.uri}: {str(error).splitlines()[0]}") from error
    _check_count(source, counts.total())
    return [
        Part(fragment, offset, min(PART_ROWS, rows - offset))
        for fragment, rows in counts.items()
        for offset in range(0, rows, PART_ROWS)
    ]


def _check_count(source: LanceRows, found: int) -> None:
    if source.rows is not None and found != source.rows:
        raise BadInput(
            f"{source.uri} version {source.version} gives {found} rows for {source.filter!r}; "
            f"the manifest names {source.rows}"
        )


def fetch(uri: str, version: int, column: str, row_ids: Sequence[int]) -> tuple[list[list[bytes]], int]:
    """The images of each row id, in the order asked (one per row unless the column is a list), and the bytes read.

    Raises BadInput for a row id that the version does not have, or that has no image.
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
    if empty := [row for row, many in zip(row_ids, images, strict=True) if None in many]:
        raise BadInput(f"{uri} version {version}: the row with row id {empty[0]} has no {column}")
    return images, dataset.io_stats_incremental().read_bytes
