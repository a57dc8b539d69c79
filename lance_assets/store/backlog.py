"""The stale cells of all batches, counted by reason without looking at one cell after another.

`staleness.all_stale_cells` is the truth, and walks through every fragment and column. A sensor asks every half minute,
of tables of thousands of batches: here the ledger is joined with the files that the table refers to, a few array
operations for each column. Nothing is kept between two calls. Only where rows were deleted, so that the ledger's counts
are too high, a batch is asked the long way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lance_assets.store import ledger
from lance_assets.store.columns import field_ids
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import first_batch
from lance_assets.store.ledger import IMAGE
from lance_assets.store.objects import typed
from lance_assets.store.staleness import Identity, stale_cells

#: What is read of the ledger.
READ = [
    *("column", "batch", "planned_file", "scorer", "version", "config_hash", "offsets"),
    *("rows_failed_transient", "due", "planned"),
]
#: Reasons (see StaleCell) in the order of their numbers.
NEW, UNKNOWN, DAMAGED, VERSION, CONFIG, FAILED = range(6)
REASONS = ("new", "unknown", "damaged", "version", "config", "failed")


@dataclass
class Backlog:
    """`stale`: rows by batch key, column and reason (see StaleCell); every stored batch is in it, with nothing where
    nothing is stale. `made`: when (POSIX seconds) the newest cells that a batch has in a column were announced, by
    (batch, column), IMAGE among the columns. `replaced`: (batch, column) that were labelled before the present images
    of the batch came: what is new there is so because an image changed."""

    stale: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    made: dict[tuple[str, str], float] = field(default_factory=dict)
    replaced: set[tuple[str, str]] = field(default_factory=set)


@dataclass(frozen=True)
class _Fragments:
    """Of each fragment: its rows, those that are not deleted, the number of its batch in `batches` (-1 = it has none),
    and by column the name of the data file that answers for it (None = all NULL)."""

    physical: np.ndarray
    alive: np.ndarray
    batch: np.ndarray
    batches: list[str]
    files: Mapping[str, Sequence[str | None]]


@typed
def backlog(
    root: DataRoot, dataset: lance.LanceDataset, identities: Sequence[Identity], due: datetime | None = None
) -> Backlog:
    """What is stale in a table: what `all_stale_cells` says, added up."""
    rows = ledger.read(root, columns=READ).combine_chunks()
    images = rows.filter(pc.field("column") == IMAGE)
    fragments = _fragments(dataset, [one.column for one in identities], images)
    found = Backlog({batch: {} for batch in fragments.batches})
    images_made = _dates(found, IMAGE, images, fragments)
    odd: dict[str, list[Identity]] = {}
    for identity in identities:
        mine = rows.filter(pc.field("column") == identity.column)
        counts, rest = _counted(identity, mine, images, fragments, due)
        for number in np.flatnonzero(counts.any(axis=1)):
            reasons = {REASONS[at]: int(counts[number, at]) for at in np.flatnonzero(counts[number])}
            found.stale[fragments.batches[number]][identity.column] = reasons
        for number in np.flatnonzero(rest):
            odd.setdefault(fragments.batches[number], []).append(identity)
        _dates(found, identity.column, mine, fragments)
        found.replaced |= _replaced(identity.column, mine, fragments, images_made)
    for batch, some in odd.items():
        _the_long_way(root, dataset, batch, some, due, found)
    return found


def _fragments(dataset: lance.LanceDataset, columns: Sequence[str], images: pa.Table) -> _Fragments:
    fragments = dataset.get_fragments()
    field_of = {column: field_ids(dataset, column)[0] for column in columns if column in dataset.schema.names}
    image = dataset.lance_schema.field(IMAGE)
    field_of |= {IMAGE: image.id()} if image else {}
    wanted = {number: column for column, number in field_of.items()}
    owners: dict[str, list[str | None]] = {column: [None] * len(fragments) for column in (IMAGE, *columns)}
    for at, fragment in enumerate(fragments):
        for file in fragment.data_files():
            # The first file that has a field answers for it. Asking for a path is dear: Lance makes a class each time.
            mine = [wanted[number] for number in file.fields if number in wanted and owners[wanted[number]][at] is None]
            path = str(file.path) if mine else ""
            for column in mine:
                owners[column][at] = path
    # Reversed: of several rows about one file the first one counts.
    known = dict(zip(images["planned_file"].to_pylist()[::-1], images["batch"].to_pylist()[::-1], strict=True))
    named = [
        known[file] if file in known else next(iter(first_batch(dataset, fragment)), None)
        for file, fragment in zip(owners[IMAGE], fragments, strict=True)
    ]
    batches = list(dict.fromkeys(key for key in named if key is not None))
    number = {key: at for at, key in enumerate(batches)}
    physical = np.array([fragment.physical_rows for fragment in fragments], np.int64)
    deleted = np.array([fragment.num_deletions for fragment in fragments], np.int64)
    batch = np.array([-1 if key is None else number[key] for key in named], np.int64)
    return _Fragments(physical, physical - deleted, batch, batches, owners)


def _counted(
    identity: Identity, mine: pa.Table, images: pa.Table, fragments: _Fragments, due: datetime | None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows by (batch, reason) of one column, and which batches have to be asked the long way."""
    counts = np.zeros((len(fragments.batches), len(REASONS)), np.int64)
    odd = np.zeros(len(fragments.batches), bool)

    def add(reason: int, at: np.ndarray, rows: np.ndarray) -> None:
        there = fragments.batch[at] >= 0
        np.add.at(counts[:, reason], fragments.batch[at][there], rows[there])

    files = fragments.files[identity.column]
    at, mine = _of_table(mine, files)
    none = np.array([file is None for file in files], bool)
    explained = np.bincount(at, minlength=len(files)) > 0
    announced = {*images["planned_file"].to_pylist()}
    empty = np.array([file in announced for file in files], bool)
    damaged = np.zeros(len(files), bool)
    damaged[at[_texts(mine, "scorer") == ""]] = True
    for reason, where in (
        (NEW, none | (~explained & empty)),
        (UNKNOWN, ~none & ~explained & ~empty),
        (DAMAGED, damaged),
    ):
        numbers = np.flatnonzero(where)
        add(reason, numbers, fragments.alive[numbers])
    sound = ~damaged[at]
    at, mine = at[sound], mine.filter(pa.array(sound))
    whole = _array(mine["offsets"]).is_null().to_numpy(zero_copy_only=False)
    single = whole & (np.bincount(at, minlength=len(files))[at] == 1)
    missing = fragments.physical - _covered(at, mine, whole, fragments.physical)
    parts = np.zeros(len(files), bool)
    parts[at[~single]] = True
    add(NEW, np.flatnonzero(parts), missing[parts])
    lengths = _array(mine["offsets"]).value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    rows = np.where(single, fragments.alive[at], np.where(whole, fragments.physical[at], lengths))
    old = _texts(mine, "version") != identity.version
    other = (_texts(mine, "config_hash") != identity.config_hash) & ~old
    add(VERSION, at[old], rows[old])
    add(CONFIG, at[other], rows[other])
    failed = mine["rows_failed_transient"].fill_null(0).to_numpy()
    again = (failed > 0) & _is_due(mine, due) & ~old & ~other
    add(FAILED, at[again], failed[again])
    deleted = fragments.alive != fragments.physical
    numbers = fragments.batch[[*at[again & deleted[at]], *np.flatnonzero(parts & deleted)]]
    odd[numbers[numbers >= 0]] = True
    return counts, odd


def _covered(at: np.ndarray, mine: pa.Table, whole: np.ndarray, physical: np.ndarray) -> np.ndarray:
    """How many rows of each fragment its ledger rows speak of."""
    offsets = _array(mine["offsets"])
    lengths = offsets.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    pairs = np.repeat(at.astype(np.int64), lengths) << 32 | offsets.flatten().to_numpy().astype(np.int64)
    covered = np.bincount(np.unique(pairs) >> 32, minlength=len(physical)).astype(np.int64)
    covered[at[whole]] = physical[at[whole]]
    return covered


def _is_due(mine: pa.Table, due: datetime | None) -> np.ndarray:
    """Which ledger rows let their transient failures be tried again."""
    if due is None:
        return np.ones(mine.num_rows, bool)
    times = mine["due"].cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy()
    return times <= pa.scalar(due, mine.schema.field("due").type).value


def _dates(found: Backlog, column: str, mine: pa.Table, fragments: _Fragments) -> np.ndarray:
    """Notes when the cells of each batch were announced; returns it by batch (-inf = there are none)."""
    at, mine = _of_table(mine, fragments.files[column])
    newest = np.full(len(fragments.batches), -np.inf)
    numbers = fragments.batch[at]
    np.maximum.at(newest, numbers[numbers >= 0], _seconds(mine)[numbers >= 0])
    there = np.flatnonzero(np.isfinite(newest))
    found.made |= {(fragments.batches[number], column): float(newest[number]) for number in there}
    return newest


def _replaced(column: str, mine: pa.Table, fragments: _Fragments, images_made: np.ndarray) -> set[tuple[str, str]]:
    labels = mine.filter(pc.field("scorer") != "")
    made = dict(zip(fragments.batches, images_made, strict=True))
    times = zip(labels["batch"].to_pylist(), _seconds(labels), strict=True)
    return {(batch, column) for batch, time in times if time < made.get(batch, -np.inf)}


def _of_table(mine: pa.Table, files: Sequence[str | None]) -> tuple[np.ndarray, pa.Table]:
    """The ledger rows of a column that the table refers to, and to which fragment each belongs."""
    place = {file: at for at, file in enumerate(files) if file is not None}
    found = np.array([place.get(file, -1) for file in mine["planned_file"].to_pylist()], np.int64)
    return found[found >= 0], mine.filter(pa.array(found >= 0))


def _texts(mine: pa.Table, name: str) -> np.ndarray:
    return np.array(mine[name].to_pylist(), object)


def _seconds(mine: pa.Table) -> np.ndarray:
    return mine["planned"].cast(pa.int64()).to_numpy() / 1e6


def _array(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)


def _the_long_way(
    root: DataRoot,
    dataset: lance.LanceDataset,
    batch: str,
    identities: Sequence[Identity],
    due: datetime | None,
    found: Backlog,
) -> None:
    for identity in identities:
        found.stale[batch].pop(identity.column, None)
    for cell in stale_cells(root, dataset, batch, identities, due=due):
        reasons = found.stale[batch].setdefault(cell.column, {})
        reasons[cell.reason] = reasons.get(cell.reason, 0) + cell.rows
