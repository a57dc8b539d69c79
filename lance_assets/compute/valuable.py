"""Which stale rows a budget is spent on: the most valuable ones of all batches that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import lance
import numpy as np
import pyarrow as pa

from lance_assets.compute.label import Narrow, identity_of
from lance_assets.scoring.api import Allowance, Scorer
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import fragment_at
from lance_assets.store.staleness import StaleCell, stale_cells
from lance_assets.store.table import open_images


def within(
    root: DataRoot, batches: Sequence[str], scorer: Scorer, allowed: Allowance, due: datetime | None = None
) -> tuple[Narrow, int]:
    """What a budget pays for, and how many stale rows it leaves as they are: never scored, to be asked for another
    time. Rows that were paid for already are taken whatever the rest of the budget. `due` as in `label_batch`."""
    dataset = open_images(root)
    asked = [identity_of(scorer)]
    stale = [cell for batch in batches for cell in stale_cells(root, dataset, batch, asked, due=due)]
    rows = [_rows(dataset, cell, scorer.hints) for cell in stale]
    if not rows:
        return list, 0
    at, ids, values = (np.concatenate(column) for column in zip(*rows, strict=True))
    paid = np.isin(ids, np.array(list(allowed.paid), dtype=object)) if allowed.paid else np.zeros(len(ids), bool)
    others = np.flatnonzero(~paid)
    best = others[np.argsort(-values[others], kind="stable")][: max(0, allowed.rows)]
    chosen = np.concatenate([at[paid], at[best]])
    return lambda cells: narrowed(cells, chosen, scorer), len(at) - len(chosen)


def narrowed(cells: Sequence[StaleCell], chosen: np.ndarray, scorer: Scorer) -> list[StaleCell]:
    """Cells of other scorers as they are; of this one only rows whose addresses are chosen."""
    column, kept = identity_of(scorer).column, []
    for cell in cells:
        if cell.column != column:
            kept.append(cell)
            continue
        mine = np.sort(chosen[chosen >> 32 == cell.fragment] & 0xFFFFFFFF)
        offsets = mine if cell.offsets is None else np.intersect1d(mine, cell.offsets)
        if len(offsets) == cell.rows:
            kept.append(cell)
        elif len(offsets):
            kept.append(replace(cell, offsets=offsets, rows=len(offsets)))
    return kept


def _rows(
    dataset: lance.LanceDataset, cell: StaleCell, hints: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Addresses, ids and values (-inf where a row has none) of the rows of a cell."""
    there = [name for name in hints[:1] if name in dataset.schema.names]
    fragment = fragment_at(dataset, cell.fragment)
    table = dataset.scanner(columns=["id", *there], fragments=[fragment], with_row_address=True).to_table()
    if cell.offsets is not None:
        wanted = np.isin(table["_rowaddr"].to_numpy() & 0xFFFFFFFF, cell.offsets)
        table = table.filter(pa.array(wanted))
    values = np.full(table.num_rows, -np.inf)
    if there:
        known = table[there[0]].to_numpy().astype(np.float64)
        values = np.where(np.isnan(known), -np.inf, known)
    return table["_rowaddr"].to_numpy().astype(np.int64), table["id"].to_numpy(), values
