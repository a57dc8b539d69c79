"""The only way into a score column: one small file per (fragment, column), checked, then published by one commit.

Lance takes what DataReplacement is given without looking (measured with pylance 14: a short, long, wrongly typed,
missing or foreign file is committed and read back as garbage, NULL or an error). So `stage` and `publish` check.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import lance
import numpy as np
import pyarrow as pa
from lance.file import LanceFileReader, LanceFileWriter
from lance.fragment import DataFile

from lance_assets.store.cells import Cells, arranged, stored_cells
from lance_assets.store.claims import Held
from lance_assets.store.columns import Superseded, column_file, field_ids, owner, state_of
from lance_assets.store.files import DataRoot, read
from lance_assets.store.fragments import DATA, FragmentGone, fragment_at
from lance_assets.store.objects import reachable, typed
from lance_assets.store.table import commit, open_images

Operation = lance.LanceOperation


class StagedFileGone(RuntimeError):
    """A staged file was deleted before it was published (an old cleanup, a jumped clock): score again."""


class BadStage(ValueError):
    """What was to be staged does not fit the fragment or the column."""


@dataclass(frozen=True)
class Staged:
    """A column file that lies under data/ and that nothing refers to yet. `offsets` are the rows that were scored now
    (None = all); `states` the states of every physical row of the file, -1 = never scored or deleted."""

    column: str
    fields: tuple[int, ...]
    fragment: int
    physical_rows: int
    base: str | None
    file: DataFile
    sha256: str
    read_version: int
    offsets: np.ndarray | None = field(default=None, compare=False)
    states: np.ndarray = field(default_factory=lambda: np.array([], np.int16), compare=False)
    type: pa.DataType = field(default_factory=pa.null)

    @property
    def name(self) -> str:
        return str(self.file.path)


@typed
def stage(
    root: DataRoot,
    dataset: lance.LanceDataset,
    number: int,
    column: str,
    cells: Cells,
    offsets: np.ndarray | None = None,
) -> Staged:
    """Writes the cells of one fragment, in row order, and proves the file readable.

    `cells` belong to the rows at `offsets` (ascending; None = every row that is not deleted); the other rows keep what
    they have. Deleted rows keep their slot. Raises FragmentGone, BadStage.
    """
    fragment = fragment_at(dataset, number)
    where = f"{column} of fragment {number}"
    before = None if offsets is None else stored_cells(dataset, fragment, column)
    at = alive_offsets(fragment) if offsets is None else offsets
    if len(cells) != len(at):
        raise BadStage(f"{where}: {len(cells)} values for {len(at)} rows")
    try:
        full = arranged(cells, at, fragment.physical_rows, dataset.schema.field(column).type, before)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, ValueError) as error:
        raise BadStage(f"{where}: {error}") from error
    name, sha256 = write_column(root, dataset, column, full)
    file = DataFile.create(dataset, name)
    fields = field_ids(dataset, column)
    if tuple(file.fields) != fields:
        raise BadStage(f"{where}: {name} has fields {file.fields}, the table has {fields}")
    base = owner(fragment, fields[0])
    rows, version = fragment.physical_rows, dataset.version
    return Staged(column, fields, number, rows, base, file, sha256, version, offsets, full.numbers(), full.values.type)


def alive_offsets(fragment: lance.LanceFragment) -> np.ndarray:
    """Offsets of the rows that are not deleted, ascending."""
    if not fragment.num_deletions:
        return np.arange(fragment.physical_rows)
    address = fragment.to_table(columns=[], with_row_address=True)["_rowaddr"].to_numpy()
    return (address & 0xFFFFFFFF).astype(np.int64)


def write_column(root: DataRoot, dataset: lance.LanceDataset, column: str, cells: Cells) -> tuple[str, str]:
    """Writes a column file of its own under data/ and reads it back. Returns its name and SHA-256. Raises BadStage."""
    schema = pa.schema([dataset.schema.field(column), dataset.schema.field(state_of(column))])
    name = f"{uuid.uuid4().hex}.lance"
    path = f"{dataset.uri}/data/{name}"
    with LanceFileWriter(path, schema, version=dataset.data_storage_version) as writer:
        writer.write_batch(pa.record_batch([cells.values, cells.states], schema=schema))
    back = LanceFileReader(path).read_all().to_table()
    states = back[state_of(column)].combine_chunks()
    if back.schema.types != schema.types or not states.equals(cells.states):
        raise BadStage(f"{column}: {path} does not read back as the {len(cells)} rows of {schema.types} written")
    if back[column].null_count != cells.values.null_count:
        raise BadStage(f"{column}: {path} reads back with {back[column].null_count} nulls")
    return name, checksum(root, name)


def restage(root: DataRoot, dataset: lance.LanceDataset, number: int, column: str, name: str) -> Staged | None:
    """A file staged before a crash, as if it were staged now; None where it is gone, does not fit or has been used."""
    fragment = dataset.get_fragment(number)
    if fragment is None:
        return None
    try:
        with reachable(root.uri):
            file = DataFile.create(dataset, name)
            stored = LanceFileReader(f"{dataset.uri}/data/{name}").read_all().to_table()
    except (OSError, ValueError):  # never finished, or deleted: its cells are scored again
        return None
    fields = field_ids(dataset, column)
    same_type = stored.schema.field(column).type == dataset.schema.field(column).type
    if tuple(file.fields) != fields or stored.num_rows != fragment.physical_rows or not same_type:
        return None
    cells = Cells(stored[column].combine_chunks(), stored[state_of(column)].combine_chunks())
    base, sha256 = column_file(dataset, fragment, column), checksum(root, name)
    rows, version, type = len(cells), dataset.version, cells.values.type
    return Staged(column, fields, number, rows, base, file, sha256, version, None, cells.numbers(), type)


def checksum(root: DataRoot, name: str) -> str:
    """Hex SHA-256 of a data file of the image table."""
    return hashlib.sha256(read(root, f"{DATA}/{name}")).hexdigest()


@typed
def publish(
    root: DataRoot, staged: Sequence[Staged], properties: dict[str, str], held: Held | None = None
) -> lance.LanceDataset:
    """Makes one column of one batch visible in one commit and verifies that each file answers for its field.

    `held` is the claim of the batch. Raises FragmentGone, Superseded, StagedFileGone, LostClaim, GaveUp; then nothing
    was published, and what was staged and announced is used by the next pass or expires.
    """
    operation = Operation.DataReplacement([Operation.DataReplacementGroup(one.fragment, one.file) for one in staged])

    def recheck(newest: lance.LanceDataset) -> lance.LanceOperation.BaseOperation:
        for one in staged:
            _recheck(newest, one)
        if held is not None:
            held.check()
        return operation

    dataset = open_images(root)
    dataset = commit(root, dataset.version, recheck(dataset), properties, recheck)
    for one in staged:
        fragment = dataset.get_fragment(one.fragment)
        if fragment is None or any(owner(fragment, field) != one.name for field in one.fields):
            raise Superseded(f"{one.column} of fragment {one.fragment} was published by somebody else")
    return dataset


def _recheck(dataset: lance.LanceDataset, one: Staged) -> None:
    fragment = dataset.get_fragment(one.fragment)
    if fragment is None or fragment.physical_rows != one.physical_rows:
        raise FragmentGone(f"fragment {one.fragment} was replaced while {one.column} was scored")
    # Lance gives the field ids of a dropped column to the next one.
    if field_ids(dataset, one.column) != one.fields or dataset.schema.field(one.column).type != one.type:
        raise Superseded(f"column {one.column} was re-created")
    if owner(fragment, one.fields[0]) != one.base:
        raise Superseded(f"{one.column} of fragment {one.fragment} was published by somebody else")
    try:
        with reachable(dataset.uri):
            DataFile.create(dataset, one.name)
    except (OSError, ValueError) as error:
        raise StagedFileGone(f"{one.name}, staged for {one.column} of fragment {one.fragment}, is gone") from error
