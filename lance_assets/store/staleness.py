"""Which cells are stale: the plan of every labelling pass, and the truth behind `status`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from operator import or_

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lance_assets.store import ledger
from lance_assets.store.columns import CellState, column_file, score_columns, state_of
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import by_batch, fragment_at
from lance_assets.store.ledger import IMAGE, History, Intent
from lance_assets.store.objects import typed
from lance_assets.store.staging import alive_offsets
from lance_assets.store.table import batch_fragments


@dataclass(frozen=True)
class Identity:
    """What a score column claims to be now. `fields` are the table columns that its scorer reads, `type` what it
    gives."""

    column: str
    scorer: str
    version: str
    config_hash: str
    fields: tuple[str, ...]
    type: pa.DataType = field(default_factory=pa.float32)


@dataclass(frozen=True)
class StaleCell:
    """Cells of one (fragment, column) to score for one reason: new, version, config, failed, damaged, forced, unknown.

    `offsets` are rows inside the fragment, ascending; None = all. `attempts` = how often they were tried before.
    """

    batch: str
    fragment: int
    column: str
    rows: int
    reason: str
    offsets: np.ndarray | None = field(default=None, compare=False)
    attempts: int = 0


@typed
def stale_cells(
    root: DataRoot,
    dataset: lance.LanceDataset,
    batch: str,
    identities: Sequence[Identity],
    force: bool = False,
    due: datetime | None = None,
    known: History | None = None,
) -> list[StaleCell]:
    """The stale cells of one batch at one pinned version, in (fragment, column) order. `known` is the history of the
    batch where the caller has read it.

    A column file belongs to one fragment whose inputs never change under it (a changed image is a new fragment), so the
    file that answers for the column and its ledger rows decide. Rows are read only to find transient failures; those
    that are not due at `due` stay (None = all count as due).
    """
    known = ledger.history(ledger.read(root, batch)) if known is None else known
    return list(_cells(dataset, batch, batch_fragments(dataset, batch), identities, known, force, due))


@typed
def all_stale_cells(
    root: DataRoot, dataset: lance.LanceDataset, identities: Sequence[Identity], due: datetime | None = None
) -> dict[str, list[StaleCell]]:
    """The stale cells of every stored batch, by batch key; a batch where nothing is stale has an empty list."""
    known = ledger.history(ledger.read(root))
    fragments = by_batch(dataset, known)
    return {key: list(_cells(dataset, key, ids, identities, known, False, due)) for key, ids in fragments.items()}


@typed
def versions_in_use(
    root: DataRoot, dataset: lance.LanceDataset, columns: Sequence[str]
) -> dict[str, list[dict[str, str]]]:
    """Which (version, config_hash) made the values that each column holds, by column: what the ledger says of the files
    that the table refers to, not what the code would do now."""
    counts = list(ledger.COUNTS.values())
    known = ledger.read(root, columns=["column", "planned_file", "version", "config_hash", *counts])
    known = known.filter(reduce(or_, (pc.field(name) > 0 for name in counts)))
    found: dict[str, list[dict[str, str]]] = {}
    for column in set(columns) & set(score_columns(dataset.schema)):
        files = {column_file(dataset, fragment, column) for fragment in dataset.get_fragments()}
        mine = (pc.field("column") == column) & pc.field("planned_file").isin(list(files - {None}))
        makers = known.filter(mine).group_by(["version", "config_hash"]).aggregate([])
        made = set(zip(makers["version"].to_pylist(), makers["config_hash"].to_pylist(), strict=True))
        found[column] = [{"version": version, "config_hash": config} for version, config in sorted(made)]
    return found


@typed
def made_by(root: DataRoot, dataset: lance.LanceDataset, batch: str, column: str) -> list[Intent]:
    """What the ledger says of the cells that a batch has in a column: who made them, how."""
    known = ledger.history(ledger.read(root, batch))
    fragments = (fragment_at(dataset, number) for number in batch_fragments(dataset, batch))
    files = {column_file(dataset, fragment, column) or "" for fragment in fragments}
    return [intent for file in files for intent in known.get((column, file), ())]


def _cells(
    dataset: lance.LanceDataset,
    batch: str,
    fragments: Iterable[int],
    identities: Sequence[Identity],
    known: History,
    force: bool,
    due: datetime | None,
) -> Iterator[StaleCell]:
    for number in fragments:
        fragment = fragment_at(dataset, number)
        for identity in identities:
            if force:
                yield StaleCell(batch, number, identity.column, fragment.count_rows(), "forced")
                continue
            for reason, offsets, attempts in _why(dataset, fragment, identity, known, due):
                rows = fragment.count_rows() if offsets is None else len(offsets)
                yield StaleCell(batch, number, identity.column, rows, reason, offsets, attempts)


Why = tuple[str, np.ndarray | None, int]


def _why(
    dataset: lance.LanceDataset,
    fragment: lance.LanceFragment,
    identity: Identity,
    known: History,
    due: datetime | None,
) -> Iterator[Why]:
    file = column_file(dataset, fragment, identity.column)
    if file is None:
        yield "new", None, 0
        return
    intents = known.get((identity.column, file))
    if intents is None:
        # Nobody announced the cells, so they cannot be explained; but a compacted image file has empty ones.
        yield "new" if (IMAGE, file) in known else "unknown", None, 0
        return
    if any(intent.damaged for intent in intents):
        yield "damaged", None, 0
        return
    if len(intents) == 1 and intents[0].offsets is None:
        yield from _why_covered(dataset, fragment, identity, intents[0], None, due)
        return
    alive = alive_offsets(fragment)
    missing = np.setdiff1d(alive, np.concatenate([intent.covered(fragment.physical_rows) for intent in intents]))
    if len(missing):
        yield "new", missing, 0
    for intent in intents:
        mine = np.intersect1d(intent.covered(fragment.physical_rows), alive)
        if len(mine):
            yield from _why_covered(dataset, fragment, identity, intent, mine, due)


def _why_covered(
    dataset: lance.LanceDataset,
    fragment: lance.LanceFragment,
    identity: Identity,
    intent: Intent,
    offsets: np.ndarray | None,
    due: datetime | None,
) -> Iterator[Why]:
    if intent.version != identity.version:
        yield "version", offsets, 0
    elif intent.config_hash != identity.config_hash:
        yield "config", offsets, 0
    elif intent.rows_failed_transient and (due is None or intent.due is None or intent.due <= due):
        failed = _in_state(dataset, fragment, identity.column, CellState.FAILED_TRANSIENT)
        if offsets is not None:
            failed = np.intersect1d(failed, offsets)
        if len(failed):
            yield "failed", failed, intent.attempts


def _in_state(dataset: lance.LanceDataset, fragment: lance.LanceFragment, column: str, state: CellState) -> np.ndarray:
    where = f"{state_of(column)} = {int(state)}"
    found = dataset.scanner(columns=[], filter=where, fragments=[fragment], with_row_address=True).to_table()
    return np.sort(found["_rowaddr"].to_numpy() & 0xFFFFFFFF).astype(np.int64)  # uint64 with int64 makes floats


def input_digest(rows: pa.Table, fields: Sequence[str]) -> str:
    """SHA-256 over (id, image_sha256, the fields that the scorer reads) of rows, in order.

    The image itself enters by its digest. Maintenance and re-materialization of unchanged rows never change it.
    """
    digest = hashlib.sha256()
    for name in ("id", "image_sha256", *sorted(set(fields) - {"image"})):
        digest.update(f"\2{name}\3".encode())
        for chunk in rows[name].chunks:
            digest.update("".join([f"{value!r}\1" for value in chunk.to_pylist()]).encode())
    return digest.hexdigest()
