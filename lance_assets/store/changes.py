"""What differs between two versions of the image table: rows by batch, and cells of score columns by who made them.

Only fragments that differ are looked at, so that the answer costs the change, not the table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lance_assets.store import ledger
from lance_assets.store.columns import field_ids, score_columns
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import image_file
from lance_assets.store.ledger import COUNTS, MAKER

#: What makes a row another one where its row id is new: the rest of it follows from these.
CONTENT = ("image_sha256", "messages")
#: Rows of the ledger about labels, and about image files.
CELLS = (pc.field("scorer") != "") & (pc.field("column") != ledger.IMAGE)
IMAGES = pc.field("column") == ledger.IMAGE
#: Batch and content of a row.
Content = tuple[str, tuple[str, str]]
EMPTY = pa.array([], pa.uint64())


@dataclass
class RowChanges:
    """Rows of one batch: `changed` have the same id and another image or conversation, `moved` lie in another fragment
    and are the same (a batch of which other rows were replaced, or compaction)."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    moved: int = 0


@dataclass(frozen=True)
class CellChanges:
    """Cells that one (scorer, version, config) made and that lie in files which only the later version refers to.
    `carried` of them were not computed for these files (kept, carried over or compacted), the others by `runs`."""

    column: str
    scorer: str
    version: str
    config_hash: str
    cells: int
    carried: int
    batches: Sequence[str]
    runs: Sequence[str]


@dataclass(frozen=True)
class Changes:
    """`unexplained` counts cells by column that lie in new files of which the ledger knows nothing."""

    rows: Mapping[str, RowChanges]
    cells: Sequence[CellChanges]
    columns_added: Sequence[str]
    columns_dropped: Sequence[str]
    runs: Sequence[str]
    unexplained: Mapping[str, int] = field(default_factory=dict)


def changes(root: DataRoot, before: lance.LanceDataset, after: lance.LanceDataset) -> Changes:
    """What became of the table from one version to a later one. Raises OSError where a file of either is gone."""
    there = before.schema.names
    old, new = _files(before), _files(after)
    files = {column: new[column] - old.get(column, set()) for column in score_columns(after.schema)}
    images = new[ledger.IMAGE] - old[ledger.IMAGE]
    rows = _announced(root, {file for some in (*files.values(), images) for file, _ in some})
    cells = rows.filter(CELLS)
    known = set(zip(cells["column"].to_pylist(), cells["planned_file"].to_pylist(), strict=True))
    ingested = {file for file, _ in images}
    unexplained = {
        column: sum(count for file, count in some if (column, file) not in known and file not in ingested)
        for column, some in files.items()
    }
    return Changes(
        rows=row_changes(before, after),
        cells=_by_maker(cells),
        columns_added=[name for name in after.schema.names if name not in there],
        columns_dropped=[name for name in there if name not in after.schema.names],
        runs=_runs(rows),
        unexplained={column: count for column, count in unexplained.items() if count},
    )


def published(root: DataRoot, transaction: lance.Transaction) -> Changes:
    """What a commit says of itself, where the version before it is gone: the cells of its files, and rows that it
    stored as a new batch. What it took away is not known."""
    operation = transaction.operation
    fragments = getattr(operation, "fragments", None) or getattr(operation, "new_fragments", None) or []
    files = {str(file.path) for one in fragments for file in one.files}
    files |= {str(group.new_file.path) for group in getattr(operation, "replacements", [])}
    rows = _announced(root, files)
    stored: dict[str, RowChanges] = {}
    if isinstance(operation, lance.LanceOperation.Append):
        for batch, count in zip(*(rows.filter(IMAGES)[name].to_pylist() for name in ("batch", "rows_ok")), strict=True):
            stored.setdefault(batch, RowChanges()).added += count
    return Changes(stored, _by_maker(rows.filter(CELLS)), [], [], _runs(rows))


def _announced(root: DataRoot, files: Collection[str]) -> pa.Table:
    """What the ledger says of these files, without the runs of cells that were only carried into them."""
    read = ["column", "batch", "planned_file", *MAKER, *COUNTS.values(), "run_id", "carried_from"]
    rows = ledger.read(root, columns=read)
    rows = rows.filter(pc.field("planned_file").isin(pa.array(sorted(files), pa.string())))
    carried = rows["carried_from"].is_valid().to_numpy()
    runs = pa.array(rows["run_id"].to_numpy(zero_copy_only=False), pa.string(), mask=carried)
    return rows.set_column(rows.schema.get_field_index("run_id"), "run_id", runs)


def _runs(rows: pa.Table) -> list[str]:
    return sorted({run for run in rows["run_id"].to_pylist() if run})


def _by_maker(rows: pa.Table) -> list[CellChanges]:
    cells, carried = ledger.counted(rows)
    rows = rows.append_column("cells", pa.array(cells)).append_column("carried", pa.array(carried))
    grouped = rows.group_by(["column", *MAKER]).aggregate(
        [("cells", "sum"), ("carried", "sum"), ("batch", "distinct"), ("run_id", "distinct")]
    )
    return [
        CellChanges(
            *(one[name] for name in ("column", *MAKER)),
            cells=one["cells_sum"],
            carried=one["carried_sum"],
            batches=sorted(one["batch_distinct"]),
            runs=sorted(filter(None, one["run_id_distinct"])),
        )
        for one in grouped.sort_by([(name, "ascending") for name in ("column", *MAKER)]).to_pylist()
    ]


def _files(dataset: lance.LanceDataset) -> dict[str, set[tuple[str, int]]]:
    """(name, rows) of the files that answer for each score column, and for the images."""
    images = dataset.lance_schema.field(ledger.IMAGE)
    fields = {column: field_ids(dataset, column)[0] for column in score_columns(dataset.schema)}
    fields |= {ledger.IMAGE: images.id()} if images else {}
    found: dict[str, set[tuple[str, int]]] = {ledger.IMAGE: set(), **{column: set() for column in fields}}
    for one in dataset.get_fragments():
        rows = one.physical_rows - one.num_deletions
        owners: dict[int, str] = {}
        for file in one.data_files():
            for number in file.fields:
                owners.setdefault(number, str(file.path))  # the first file that has a field answers for it
        for column, number in fields.items():
            if number in owners:
                found[column].add((owners[number], rows))
    return found


def row_changes(
    before: lance.LanceDataset, after: lance.LanceDataset, where: str | None = None
) -> dict[str, RowChanges]:
    """How the rows differ, by batch; `where` is Lance SQL that selects rows of each version (None = all).

    A row keeps its row id through labelling and compaction, so ids tell most; rows whose id only one side has are then
    compared by what they hold.
    """
    old, new = _differing(before, after, where)
    left, right = _placed(before, old, where), _placed(after, new, where)
    _, here, there = np.intersect1d(left["_rowid"].to_numpy(), right["_rowid"].to_numpy(), return_indices=True)
    found: dict[str, RowChanges] = {}
    elsewhere = there[left["_rowaddr"].to_numpy()[here] != right["_rowaddr"].to_numpy()[there]]
    for batch, count in _by_batch(right.take(pa.array(elsewhere))).items():
        found.setdefault(batch, RowChanges()).moved += count
    gone, came = _without(left, here), _without(right, there)
    both = _by_batch(gone).keys() & _by_batch(came).keys()
    for batch, count in _by_batch(came).items():
        found.setdefault(batch, RowChanges()).added += 0 if batch in both else count
    for batch, count in _by_batch(gone).items():
        found.setdefault(batch, RowChanges()).removed += 0 if batch in both else count
    if both:
        _compare(_content(before, gone, both), _content(after, came, both), found)
    return found


def _compare(gone: Mapping[str, Content], came: Mapping[str, Content], found: dict[str, RowChanges]) -> None:
    """Adds rows that have new row ids in batches that lost some, too."""
    for id, (batch, content) in came.items():
        one = found[batch]
        one.added += id not in gone
        one.changed += id in gone and gone[id][1] != content
        one.moved += id in gone and gone[id][1] == content
    for id, (batch, _) in gone.items():
        found[batch].removed += id not in came


def _by_batch(rows: pa.Table) -> dict[str, int]:
    return {one["values"]: one["counts"] for one in rows["batch"].value_counts().to_pylist()}


def _without(rows: pa.Table, at: np.ndarray) -> pa.Table:
    """All rows but those at these positions."""
    return rows.take(pa.array(np.delete(np.arange(rows.num_rows), at)))


def _differing(
    before: lance.LanceDataset, after: lance.LanceDataset, where: str | None
) -> tuple[list[lance.LanceFragment], list[lance.LanceFragment]]:
    """The fragments that may hold other rows than those of the same number. Where rows are selected, the files of
    labels count, too."""

    def state(dataset: lance.LanceDataset, one: lance.LanceFragment) -> tuple:
        files = [image_file(dataset, one)] if where is None else [str(file.path) for file in one.data_files()]
        return (*files, one.num_deletions)

    old, new = ({one.fragment_id: one for one in side.get_fragments()} for side in (before, after))
    same = {n for n, one in old.items() if n in new and state(before, one) == state(after, new[n])}
    return [one for n, one in old.items() if n not in same], [one for n, one in new.items() if n not in same]


def _placed(dataset: lance.LanceDataset, fragments: list[lance.LanceFragment], where: str | None) -> pa.Table:
    """Batch, row id and row address of the rows of some fragments."""
    if not fragments:
        return pa.table({"batch": pa.array([], pa.string()), "_rowid": EMPTY, "_rowaddr": EMPTY})
    return dataset.scanner(
        columns=["batch"], filter=where, fragments=fragments, with_row_id=True, with_row_address=True
    ).to_table()


def _content(dataset: lance.LanceDataset, rows: pa.Table, batches: Collection[str]) -> dict[str, Content]:
    """By id of the rows of these batches: the batch, and what the row holds."""
    mine = rows.filter(pc.field("batch").isin(pa.array(sorted(batches))))["_rowaddr"].to_numpy()
    numbers = set(np.unique(mine >> np.uint64(32)).tolist())
    fragments = [one for one in dataset.get_fragments() if one.fragment_id in numbers]
    names = ["id", "batch", *CONTENT]
    found = dataset.scanner(columns=names, fragments=fragments, with_row_address=True).to_table()
    found = found.filter(pa.array(np.isin(found["_rowaddr"].to_numpy(), mine)))
    columns = [found[name].to_pylist() for name in names]
    return {id: (batch, (digest, str(said))) for id, batch, digest, said in zip(*columns, strict=True)}
