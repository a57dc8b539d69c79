"""Score columns: their names, types and fields, created as metadata only.

A score column is a nullable value of any Arrow type beside a nullable state (uint8); both lie in one small file per
fragment, so that NULL never means two things.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import IntEnum

import lance
import pyarrow as pa
from lance.commit import CommitConflictError

from lance_assets.errors import BadInput
from lance_assets.store.claims import claim
from lance_assets.store.files import DataRoot
from lance_assets.store.objects import typed
from lance_assets.store.table import GaveUp, open_images

PREFIX = "score_"
STATE = "__state"


class CellState(IntEnum):
    """What a state column holds; NULL = never scored."""

    OK = 0
    FAILED_TRANSIENT = 1
    FAILED_PERMANENT = 2
    REFUSED = 3


class Superseded(RuntimeError):
    """Somebody else published this (fragment, column), or dropped the column, since we planned."""


def column_of(scorer: str) -> str:
    """Name of the column that holds a scorer's values."""
    return f"{PREFIX}{scorer}"


def scorer_of(column: str) -> str:
    """The scorer whose values a column holds."""
    return column.removeprefix(PREFIX)


def state_of(column: str) -> str:
    """Name of the state column that lies in the same file as `column`."""
    return f"{column}{STATE}"


def score_columns(schema: pa.Schema) -> list[str]:
    """Names of the value columns, in table order."""
    return [name for name in schema.names if name.startswith(PREFIX) and state_of(name) in schema.names]


def is_number(type: pa.DataType) -> bool:
    """Whether values of a column can be averaged and drawn."""
    return pa.types.is_floating(type) or pa.types.is_integer(type)


def column_fields(column: str, type: pa.DataType) -> list[pa.Field]:
    """The value column and its state column, both nullable."""
    return [pa.field(column, type), pa.field(state_of(column), pa.uint8())]


@typed
def ensure_columns(root: DataRoot, columns: Mapping[str, pa.DataType]) -> lance.LanceDataset:
    """Adds the missing score columns as all-NULL metadata; no file is written.

    Retried when somebody lands first; raises GaveUp, and BadInput where a column exists with another type.
    """
    for attempt in range(20):
        dataset = open_images(root)
        if not _missing(dataset, columns):
            return dataset
        with claim(root, "schema"):
            dataset = open_images(root)
            fields = [field for name in _missing(dataset, columns) for field in column_fields(name, columns[name])]
            try:
                if fields:
                    dataset.add_columns(fields)
            except CommitConflictError:
                time.sleep(0.01 * 2 ** min(attempt, 6))
    raise GaveUp(f"columns {', '.join(columns)} could not be added: 20 conflicts in a row on {root.images}")


def _missing(dataset: lance.LanceDataset, columns: Mapping[str, pa.DataType]) -> list[str]:
    for name, type in columns.items():
        if pa.types.is_map(type):
            raise BadInput(f"column {name}: Lance 14 cannot store {type}; use a list of structs")
        if name in dataset.schema.names and dataset.schema.field(name).type != type:
            raise BadInput(
                f"column {name} of {dataset.uri} holds {dataset.schema.field(name).type}, its scorer gives {type}: "
                "values of another type need a scorer of another name"
            )
    return [name for name in columns if name not in dataset.schema.names]


def owner(fragment: lance.LanceFragment, field: int) -> str | None:
    """Name of the data file that answers for a field in this fragment; None = all NULL."""
    return next((str(file.path) for file in fragment.data_files() if field in file.fields), None)


def field_ids(dataset: lance.LanceDataset, column: str) -> tuple[int, ...]:
    """Ids of the leaf fields of a score column and of its state, as a column file lists them (a struct or list has
    none of its own). Raises Superseded where the column is gone."""
    if column not in dataset.schema.names or state_of(column) not in dataset.schema.names:
        raise Superseded(f"column {column} was dropped")
    leaves: list[int] = []
    waiting = [field for name in (column, state_of(column)) if (field := dataset.lance_schema.field(name))]
    while waiting:
        field = waiting.pop(0)
        children = field.children()
        if children:
            waiting = [*children, *waiting]
        else:
            leaves.append(field.id())
    return tuple(leaves)


def column_file(dataset: lance.LanceDataset, fragment: lance.LanceFragment, column: str) -> str | None:
    """Name of the data file that answers for a score column in this fragment; None = never scored."""
    if column not in dataset.schema.names:
        return None
    return owner(fragment, field_ids(dataset, column)[0])
