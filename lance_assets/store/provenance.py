"""Where a cell comes from, by lookups alone: row id -> fragment and offset -> the file that answers for the column ->
the ledger row whose offsets cover the row. What no ledger row explains is said to be unexplained, never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lance_assets.store.columns import column_file
from lance_assets.store.files import DataRoot, table_exists
from lance_assets.store.fragments import fragment_at
from lance_assets.store.ledger import IMAGE, Intent
from lance_assets.store.schema import LEDGER
from lance_assets.store.staleness import input_digest
from lance_assets.store.table import of_batch, quoted

#: How cells came into a file: scored for it; kept while other rows of their fragment were scored; carried over when
#: their batch was replaced; moved by compaction.
How = Literal["computed", "kept", "carried", "compacted"]


@dataclass(frozen=True)
class Place:
    """Where a row lies: `offset` counts the physical rows of its fragment."""

    id: str
    batch: str
    fragment: int
    offset: int


@dataclass(frozen=True)
class Provenance:
    """What explains a cell. `intent` is the ledger row of the file that answers for it now; its scorer, version,
    config, run, Lance version and times are those of the pass that computed it, however often the cell moved since.
    `path` names the files that it lay in and how it came there, newest first; the last one was `computed`, unless the
    ledger does not go back so far. `damage` says what verify found wrong with the file."""

    intent: Intent
    path: tuple[tuple[str, How], ...]
    damage: str | None

    @property
    def how(self) -> How:
        return self.path[0][1]


def find(dataset: lance.LanceDataset, id: str) -> list[Place]:
    """Where a row lies; reads the column `id` alone. None or one place, unless something stored a row twice."""
    found = scan(dataset, ["batch"], id)
    places = zip(found["batch"].to_pylist(), found["_rowaddr"].to_pylist(), strict=True)
    return [Place(id, batch, address >> 32, address & 0xFFFFFFFF) for batch, address in places]


def cell(root: DataRoot, dataset: lance.LanceDataset, place: Place, column: str) -> Provenance | None:
    """What explains one cell of a score column; None = it was never scored, or nobody announced it. Raises
    FragmentGone."""
    return cells(root, dataset, place, [column])[column]


def cells(
    root: DataRoot, dataset: lance.LanceDataset, place: Place, columns: Sequence[str]
) -> dict[str, Provenance | None]:
    """What explains the cells of one row, by score column. Reads only what the ledger says of the files of its
    fragment, and of those that its cells lay in before."""
    fragment = fragment_at(dataset, place.fragment)
    files = {column: column_file(dataset, fragment, column) or "" for column in columns}
    known = announced(root, place.batch, filter(None, files.values()))
    damage = {column: _damage(_of(known, column, file)) for column, file in files.items()}
    paths: dict[str, list[tuple[Intent, How]]] = {}
    for column, file in files.items():
        intent = _only(_covering(_makers(_of(known, column, file)), place.offset))
        if intent is not None:
            paths[column] = [(intent, _how(intent, known))]
    waiting = set(paths)
    while waiting := {column for column in waiting if paths[column][-1][0].carried_from}:
        known = announced(root, place.batch, {str(paths[column][-1][0].carried_from) for column in waiting})
        for column in list(waiting):
            last = paths[column][-1][0]
            before = _only(_made_like(_of(known, column, str(last.carried_from)), last))
            if before is None:
                waiting.remove(column)
            else:
                paths[column].append((before, _how(before, known)))
    return {column: _provenance(paths.get(column, []), damage[column]) for column in columns}


def inputs_match(dataset: lance.LanceDataset, place: Place, made: Provenance) -> bool | None:
    """Whether what the scorer read is still what it read then; None where the digest in the ledger is one of more rows
    than are left together (they were kept or compacted). Reads the fields of the scorer in one fragment."""
    if made.how not in ("computed", "carried"):
        return None
    fragment = fragment_at(dataset, place.fragment)
    fields = sorted({"id", "image_sha256", *made.intent.fields} - {"image"})
    rows = dataset.scanner(columns=fields, fragments=[fragment], with_row_address=True, scan_in_order=True).to_table()
    if made.intent.offsets is not None:
        rows = rows.filter(pa.array(np.isin(rows["_rowaddr"].to_numpy() & 0xFFFFFFFF, made.intent.offsets)))
    return input_digest(rows, made.intent.fields) == made.intent.input_digest


def scan(
    dataset: lance.LanceDataset, columns: Sequence[str], id: str, fragment: lance.LanceFragment | None = None
) -> pa.Table:
    """Columns of one row with its address, the image as bytes; only the column `id` is read as a whole, of one fragment
    or of all."""
    return dataset.scanner(
        columns=list(columns),
        filter=f"id = {quoted(id)}",
        fragments=None if fragment is None else [fragment],
        with_row_address=True,
        late_materialization=True,
        blob_handling="all_binary",
    ).to_table()


def announced(root: DataRoot, batch: str, files: Iterable[str]) -> pa.Table:
    """What the ledger says of some files of a batch, found by the index on `batch`."""
    names = ", ".join(quoted(file) for file in sorted(set(files)))
    if not names or not table_exists(root.ledger):
        return LEDGER.empty_table()
    # Late: of a batch with very many rows in the ledger, only the names of the files are read.
    wanted = f"{of_batch(batch)} AND planned_file IN ({names})"
    return lance.dataset(root.ledger).scanner(filter=wanted, late_materialization=True).to_table()


def _of(known: pa.Table, column: str, file: str) -> pa.Table:
    return known.filter((pc.field("column") == column) & (pc.field("planned_file") == file))


def _makers(rows: pa.Table) -> pa.Table:
    """Without the rows that only say that a file is damaged, which have no scorer."""
    return rows.filter(pc.field("scorer") != "")


def _damage(rows: pa.Table) -> str | None:
    return next(iter(rows.filter(pc.field("scorer") == "")["detail"].to_pylist()), None)


def _covering(rows: pa.Table, offset: int) -> pa.Table:
    """Of the rows of one (column, file) those whose offsets contain `offset`."""
    offsets = rows["offsets"].combine_chunks()
    whole = np.flatnonzero(offsets.is_null().to_numpy(zero_copy_only=False))
    inside = offsets.value_parent_indices().to_numpy()[offsets.flatten().to_numpy() == offset]
    return rows.take(np.concatenate([whole, inside]))


def _made_like(rows: pa.Table, intent: Intent) -> pa.Table:
    return rows.filter((pc.field("planned") == intent.planned) & (pc.field("run_id") == intent.run_id))


def _making(intent: Intent) -> tuple:
    return intent.scorer, intent.version, intent.config_hash, intent.run_id, intent.planned


def _only(rows: pa.Table) -> Intent | None:
    """The one explanation; None where there is none, or where two contradict each other."""
    found = [Intent.from_row(row) for row in rows.to_pylist()]
    return found[0] if len({_making(intent) for intent in found}) == 1 else None


def _how(intent: Intent, known: pa.Table) -> How:
    if intent.carried_from is None:
        return "computed"
    if _of(known, IMAGE, intent.planned_file).num_rows:
        return "compacted"  # it lies in the very file of the images
    return "kept" if intent.base == intent.carried_from else "carried"


def _provenance(path: Sequence[tuple[Intent, How]], damage: str | None) -> Provenance | None:
    if not path:
        return None
    return Provenance(path[0][0], tuple((intent.planned_file, how) for intent, how in path), damage)
