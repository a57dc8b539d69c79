"""Carrying cells over: rows of a replaced batch whose inputs did not change keep their labels and their makers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import lance
import numpy as np
import pyarrow as pa
from lance.file import LanceFileReader
from lance.fragment import DataFile, FragmentMetadata

from lance_assets.store import ledger
from lance_assets.store.cells import Cells, arranged
from lance_assets.store.columns import column_file, score_columns, state_of
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import fragment_at
from lance_assets.store.ledger import Intent
from lance_assets.store.objects import in_one_line
from lance_assets.store.schema import IMAGES
from lance_assets.store.staging import write_column
from lance_assets.store.staleness import input_digest

KEY = ("id", "image_sha256")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Cells of one column that have one maker: which rows of the table of old rows, what they read, who made them."""

    rows: np.ndarray
    intent: Intent


class Keyed:
    """Rows that are compared by some of their columns; each set of columns is looked at once."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._keys: dict[tuple[str, ...], list[str]] = {}
        self._places: dict[tuple[str, ...], dict[str, int]] = {}

    def keys(self, names: tuple[str, ...]) -> list[str]:
        """What each row holds in these columns, as text."""
        if names not in self._keys:
            self._keys[names] = list(map(repr, zip(*(self.table[name].to_pylist() for name in names), strict=True)))
        return self._keys[names]

    def places(self, names: tuple[str, ...]) -> dict[str, int]:
        """Where a key stands."""
        if names not in self._places:
            self._places[names] = {key: at for at, key in enumerate(self.keys(names))}
        return self._places[names]


def rows_of(dataset: lance.LanceDataset, number: int, columns: Sequence[str]) -> pa.Table:
    """Columns of one fragment, in row order."""
    fragment = fragment_at(dataset, number)
    return dataset.scanner(columns=list(columns), fragments=[fragment], scan_in_order=True).to_table()


def carried(
    root: DataRoot, dataset: lance.LanceDataset, batch: str, gone: Sequence[int], new: Sequence[FragmentMetadata]
) -> tuple[list[FragmentMetadata], list[Intent]]:
    """The new fragments with a column file for each score column of which cells can be carried over from the fragments
    that go, and the ledger rows that announce these files. A cell is carried where id, image digest and every field
    that its scorer reads are equal; no scorer is called."""
    known = ledger.history(ledger.read(root, batch))
    columns = score_columns(dataset.schema)
    old = _read(dataset, gone, [name for name in IMAGES.names if name != "image"])
    sources = {column: _sources(dataset, gone, column, old, known) for column in columns}
    before = Keyed(old)
    cells = {column: _cells(dataset, gone, column) for column, found in sources.items() if found}
    fields = sorted({name for found in sources.values() for one in found for name in one.intent.fields} - {"image"})
    result: list[FragmentMetadata] = []
    intents: list[Intent] = []
    for fragment in new:
        path = f"{dataset.uri}/data/{fragment.files[0].path}"
        rows = Keyed(LanceFileReader(path, columns=[*KEY, *fields]).read_all().to_table())
        files = list(fragment.files)
        for column, found in sources.items():
            there = cells.get(column)
            file, made = _carry_column(root, dataset, column, before, there, rows, found) if there else (None, [])
            if file is not None:
                files.append(file)
                intents += [replace(intent, batch=batch) for intent in made]
        result.append(FragmentMetadata(id=fragment.id, files=files, physical_rows=fragment.physical_rows))
    return result, intents


def _read(dataset: lance.LanceDataset, gone: Sequence[int], columns: Sequence[str]) -> pa.Table:
    fragments = [fragment_at(dataset, number) for number in gone]
    scanner = dataset.scanner(columns=list(columns), fragments=fragments, scan_in_order=True, with_row_address=True)
    return scanner.to_table()


def _cells(dataset: lance.LanceDataset, gone: Sequence[int], column: str) -> Cells | None:
    """The cells of the old rows, in their order; None where a damaged file keeps them from being read: they are lost
    with it, will be stale, and cost the batch nothing else."""
    try:
        table = _read(dataset, gone, [column, state_of(column)])
    except (OSError, ValueError) as error:
        log.warning("%s cannot be carried over and will be scored again: %s", column, in_one_line(str(error)))
        return None
    return Cells(table[column].combine_chunks(), table[state_of(column)].combine_chunks())


def _sources(
    dataset: lance.LanceDataset, gone: Sequence[int], column: str, old: pa.Table, known: ledger.History
) -> list[Source]:
    address = old["_rowaddr"].to_numpy()
    found: list[Source] = []
    for number in gone:
        fragment = fragment_at(dataset, number)
        file = column_file(dataset, fragment, column)
        intents = known.get((column, file or ""), ())
        for intent in () if any(intent.damaged for intent in intents) else intents:
            mine = np.flatnonzero(address >> 32 == number)
            inside = np.isin(address[mine] & 0xFFFFFFFF, intent.covered(fragment.physical_rows))
            found.append(Source(mine[inside], intent))
    return found


def _carry_column(
    root: DataRoot,
    dataset: lance.LanceDataset,
    column: str,
    old: Keyed,
    cells: Cells,
    rows: Keyed,
    sources: Sequence[Source],
) -> tuple[DataFile | None, list[Intent]]:
    pairs = [(source, *_same(old, rows, source)) for source in sources]
    pairs = [(source, there, here) for source, there, here in pairs if len(here)]
    if not pairs:
        return None, []
    there = np.concatenate([there for _, there, _ in pairs])
    here = np.concatenate([here for _, _, here in pairs])
    order = np.argsort(here)
    taken = Cells(*(some.take(pa.array(there[order])) for some in (cells.values, cells.states)))
    full = arranged(taken, here[order], rows.table.num_rows, dataset.schema.field(column).type, None)
    name, sha256 = write_column(root, dataset, column, full)
    intents = [
        source.intent.moved(
            full.numbers(),
            np.sort(here).astype(np.int32),
            fragment=None,
            planned_file=name,
            file_sha256=sha256,
            base=None,
            input_digest=input_digest(rows.table.take(pa.array(np.sort(here))), source.intent.fields),
            carried_from=source.intent.planned_file,
        )
        for source, _, here in pairs
    ]
    return DataFile.create(dataset, name), intents


def _same(old: Keyed, rows: Keyed, source: Source) -> tuple[np.ndarray, np.ndarray]:
    """Indices into the old and the new rows of those that are equal in all that the source's scorer read."""
    names = (*KEY, *sorted(set(source.intent.fields) - {"image"}))
    keys, places = old.keys(names), rows.places(names)
    found = [(at, places[keys[at]]) for at in source.rows if keys[at] in places]
    pairs = np.array(found, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]
