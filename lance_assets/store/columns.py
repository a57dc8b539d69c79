"""Score columns: created as metadata only, staged as one small file per fragment, published by one commit per batch.

Lance takes what DataReplacement is given without looking (facts measured with pylance 14: a short, long, wrongly typed
or missing file is committed and read back as garbage). So `stage` and `publish` are the only way in, and check.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import lance
import numpy as np
import pyarrow as pa
from lance.commit import CommitConflictError
from lance.file import LanceFileReader, LanceFileWriter
from lance.fragment import DataFile

from lance_assets.store.files import DataRoot, claim
from lance_assets.store.table import GaveUp, commit, open_images

Operation = lance.LanceOperation


class FragmentGone(RuntimeError):
    """The fragment was replaced or compacted since we planned: plan again from the batch key."""


class Superseded(RuntimeError):
    """Somebody else published this (fragment, column) since we planned."""


class BadStage(ValueError):
    """What was to be staged does not fit the fragment or the column."""


@dataclass(frozen=True)
class Staged:
    """A column file that lies under data/ and that nothing refers to yet."""

    column: str
    fields: tuple[int, int]
    fragment: int
    physical_rows: int
    base: str | None
    file: DataFile
    read_version: int

    @property
    def name(self) -> str:
        return str(self.file.path)


PREFIX = "score_"


def column_of(scorer: str) -> str:
    """Name of the column that holds a scorer's values."""
    return f"{PREFIX}{scorer}"


def scorer_of(column: str) -> str:
    """The scorer whose values a column holds."""
    return column.removeprefix(PREFIX)


def state_of(column: str) -> str:
    """Name of the state column that lies in the same file as `column`."""
    return f"{column}__state"


def column_fields(column: str) -> list[pa.Field]:
    """The value column (float32) and its state column (uint8), both nullable."""
    return [pa.field(column, pa.float32()), pa.field(state_of(column), pa.uint8())]


def ensure_columns(root: DataRoot, columns: Sequence[str]) -> lance.LanceDataset:
    """Adds the missing score columns as all-NULL metadata; no file is written.

    Retried when somebody lands first; raises GaveUp.
    """
    for attempt in range(20):
        dataset = open_images(root)
        missing = [name for name in columns if name not in dataset.schema.names]
        if not missing:
            return dataset
        with claim(root, "schema"):
            dataset = open_images(root)
            fields = [field for name in missing if name not in dataset.schema.names for field in column_fields(name)]
            try:
                if fields:
                    dataset.add_columns(fields)
            except CommitConflictError:
                time.sleep(0.01 * 2 ** min(attempt, 6))
    raise GaveUp(f"columns {', '.join(columns)} could not be added: 20 conflicts in a row on {root.images}")


def owner(fragment: lance.LanceFragment, field: int) -> str | None:
    """Name of the data file that answers for a field in this fragment; None = all NULL."""
    return next((str(file.path) for file in fragment.data_files() if field in file.fields), None)


def field_ids(dataset: lance.LanceDataset, column: str) -> tuple[int, int]:
    """Field ids of a score column and its state. Raises Superseded where the column is gone."""
    value, state = (dataset.lance_schema.field(name) for name in (column, state_of(column)))
    if value is None or state is None:
        raise Superseded(f"column {column} was dropped")
    return value.id(), state.id()


def stage(dataset: lance.LanceDataset, number: int, column: str, values: np.ndarray, states: np.ndarray) -> Staged:
    """Writes the values (NaN = NULL) and states of one whole fragment, in row order, and proves the file readable.

    Deleted rows keep their slot (NULL). Raises FragmentGone, BadStage.
    """
    fragment = dataset.get_fragment(number)
    if fragment is None:
        raise FragmentGone(f"fragment {number} is gone")
    if fragment.num_deletions:
        offsets = fragment.to_table(columns=[], with_row_address=True)["_rowaddr"].to_numpy() & 0xFFFFFFFF
    else:
        offsets = np.arange(fragment.physical_rows)
    if len(values) != len(offsets) or len(states) != len(offsets):
        raise BadStage(f"{column}: {len(values)} values for {len(offsets)} rows of fragment {number}")
    schema = pa.schema([dataset.schema.field(column), dataset.schema.field(state_of(column))])
    absent = np.ones(fragment.physical_rows, dtype=bool)
    absent[offsets] = False
    full_values = np.full(fragment.physical_rows, np.nan, dtype=np.float32)
    full_states = np.zeros(fragment.physical_rows, dtype=np.uint8)
    full_values[offsets], full_states[offsets] = values, states
    table = pa.record_batch(
        [
            pa.array(full_values, schema.field(0).type, mask=absent | np.isnan(full_values)),
            pa.array(full_states, schema.field(1).type, mask=absent),
        ],
        schema=schema,
    )
    name = f"{uuid.uuid4().hex}.lance"
    path = f"{dataset.uri}/data/{name}"
    with LanceFileWriter(path, schema, version=dataset.data_storage_version) as writer:
        writer.write_batch(table)
    if LanceFileReader(path).metadata().num_rows != fragment.physical_rows:
        raise BadStage(f"{column}: {path} does not hold the {fragment.physical_rows} rows of fragment {number}")
    fields = field_ids(dataset, column)
    file = DataFile.create(dataset, name)
    if tuple(file.fields) != fields:
        raise BadStage(f"{column}: {name} has fields {file.fields}, the table has {fields}")
    return Staged(column, fields, number, fragment.physical_rows, owner(fragment, fields[0]), file, dataset.version)


def publish(root: DataRoot, staged: Sequence[Staged], properties: dict[str, str]) -> lance.LanceDataset:
    """Makes one column of one batch visible in one commit and verifies that each file answers for its field.

    Raises FragmentGone, Superseded, GaveUp; then nothing was published and the files wait for cleanup.
    """
    operation = Operation.DataReplacement([Operation.DataReplacementGroup(one.fragment, one.file) for one in staged])

    def recheck(newest: lance.LanceDataset) -> lance.LanceOperation.BaseOperation:
        for one in staged:
            _recheck(newest, one)
        return operation

    dataset = commit(root, min(one.read_version for one in staged), recheck(open_images(root)), properties, recheck)
    for one in staged:
        fragment = dataset.get_fragment(one.fragment)
        if fragment is None or owner(fragment, one.fields[0]) != one.name:
            raise Superseded(f"{one.column} of fragment {one.fragment} was published by somebody else")
    return dataset


def _recheck(dataset: lance.LanceDataset, one: Staged) -> None:
    fragment = dataset.get_fragment(one.fragment)
    if fragment is None or fragment.physical_rows != one.physical_rows:
        raise FragmentGone(f"fragment {one.fragment} was replaced while {one.column} was scored")
    if one.column not in dataset.schema.names or field_ids(dataset, one.column) != one.fields:
        raise Superseded(f"column {one.column} was dropped or re-created")
    if owner(fragment, one.fields[0]) != one.base:
        raise Superseded(f"{one.column} of fragment {one.fragment} was published by somebody else")
