"""What a killed pass had announced but not published: used by the next one instead of scoring again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import lance
import numpy as np

from lance_assets.store.columns import column_file
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import fragment_at
from lance_assets.store.ledger import History, Intent
from lance_assets.store.staging import Staged, restage
from lance_assets.store.staleness import Identity, StaleCell, input_digest


def recovered(
    root: DataRoot,
    dataset: lance.LanceDataset,
    batch: str,
    identities: Mapping[str, Identity],
    stale: Sequence[StaleCell],
    known: History,
) -> list[Staged]:
    """The staged files that make exactly the stale cells of a (fragment, column) good, newest first, one for each.

    An announced file is used when its scorer, version, config, base file and rows are what this pass would make, its
    inputs have the digest that it was made from, and it is there as it was announced. One in which every row failed for
    good is not: that is a fault of the scorer, which somebody may have mended.
    """
    wanted: dict[tuple[int, str], list[StaleCell]] = {}
    for cell in stale:
        wanted.setdefault((cell.fragment, cell.column), []).append(cell)
    offered = _offers(known)
    found: list[Staged] = []
    for (number, column), cells in wanted.items():
        for intent in offered.get((number, column), ()):
            if _fits(dataset, intent, identities[column], cells):
                staged = restage(root, dataset, number, column, intent.planned_file)
                whole = staged is not None and staged.sha256 == intent.file_sha256
                if staged is not None and whole and _digest(dataset, number, intent) == intent.input_digest:
                    found.append(replace(staged, offsets=intent.offsets))
                    break
    return found


def _offers(known: History) -> dict[tuple[int, str], list[Intent]]:
    """Computed (not carried) intents by (fragment, column), newest first."""
    offers: dict[tuple[int, str], list[Intent]] = {}
    for (column, _), intents in known.items():
        for intent in intents:
            if intent.carried_from is None and intent.fragment is not None:
                offers.setdefault((intent.fragment, column), []).append(intent)
    for mine in offers.values():
        mine.sort(key=lambda intent: intent.planned, reverse=True)
    return offers


def _fits(dataset: lance.LanceDataset, intent: Intent, identity: Identity, cells: Sequence[StaleCell]) -> bool:
    fragment = fragment_at(dataset, cells[0].fragment)
    if intent.base != column_file(dataset, fragment, intent.column):
        return False
    if (intent.version, intent.config_hash) != (identity.version, identity.config_hash):
        return False
    if intent.rows_failed_permanent and not intent.rows_ok + intent.rows_refused + intent.rows_failed_transient:
        return False
    if any(cell.offsets is None for cell in cells):
        return intent.offsets is None
    stale = np.unique(np.concatenate([cell.offsets for cell in cells if cell.offsets is not None]))
    return np.array_equal(intent.covered(fragment.physical_rows), stale)


def _digest(dataset: lance.LanceDataset, number: int, intent: Intent) -> str:
    fragment = fragment_at(dataset, number)
    fields = sorted({"id", "image_sha256", *intent.fields} - {"image"})
    rows = dataset.scanner(columns=fields, fragments=[fragment], with_row_address=True, scan_in_order=True).to_table()
    if intent.offsets is not None:
        at = rows["_rowaddr"].to_numpy() & 0xFFFFFFFF
        rows = rows.filter(np.isin(at, intent.offsets))
    return input_digest(rows, intent.fields)
