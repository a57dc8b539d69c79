"""Reads the few rows that a person should see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lance
import numpy as np
import pyarrow as pa

from lance_assets.ingest.conversation import caption_of
from lance_assets.preview.sheet import contact_sheet
from lance_assets.store.columns import column_of, is_number, state_of
from lance_assets.store.files import DataRoot
from lance_assets.store.table import batch_fragments, of_batch, open_images

SHEET_ROWS = 8


def sample_sheet(root: DataRoot, batch: str) -> str:
    """Contact sheet of rows spread evenly over a batch."""
    dataset = open_images(root)
    ids = _row_ids(dataset, batch)
    at = np.linspace(0, len(ids) - 1, min(SHEET_ROWS, len(ids))).astype(int) if len(ids) else []
    return _sheet(dataset, [(ids[position], None) for position in at])


def extremes_sheet(root: DataRoot, batch: str, scorer: str) -> str:
    """Contact sheet of the lowest and the highest scores of a batch, each with its score; of some rows with their
    values where these are no numbers."""
    dataset = open_images(root)
    found = dataset.scanner(columns=[column_of(scorer)], filter=of_batch(batch), with_row_id=True).to_table()
    pairs = zip(found[column_of(scorer)].to_pylist(), found["_rowid"].to_pylist(), strict=True)
    scored = [(value, row) for value, row in pairs if value is not None]
    if is_number(found[column_of(scorer)].type):
        scored.sort()
    half = SHEET_ROWS // 2
    chosen = scored if len(scored) <= SHEET_ROWS else scored[:half] + scored[-half:]
    return _sheet(dataset, [(row, _noted(scorer, value)) for value, row in chosen])


def _noted(scorer: str, value: Any) -> str:
    return f"{scorer} {value:.0f}" if isinstance(value, int | float) else str(value)[:80]


def batch_values(root: DataRoot, batch: str, scorer: str) -> tuple[pa.ChunkedArray, list[int | None]]:
    """Values (NULL where not ok) and states of one column of one batch as stored now, for what people see."""
    dataset = open_images(root)
    column = column_of(scorer)
    fragments = [dataset.get_fragment(number) for number in batch_fragments(dataset, batch)]
    if not fragments:
        return pa.chunked_array([], dataset.schema.field(column).type), []
    table = dataset.scanner(columns=[column, state_of(column)], fragments=fragments).to_table()
    return table[column], table[state_of(column)].to_pylist()


def _row_ids(dataset: lance.LanceDataset, batch: str) -> list[int]:
    fragments = [dataset.get_fragment(number) for number in batch_fragments(dataset, batch)]
    if not fragments:
        return []
    return dataset.scanner(columns=[], fragments=fragments, with_row_id=True).to_table()["_rowid"].to_pylist()


def _sheet(dataset: lance.LanceDataset, chosen: Sequence[tuple[int, str | None]]) -> str:
    rows = rows_by_id(dataset, [row for row, _ in chosen])
    return contact_sheet(
        [
            {"image": rows[row]["image"], "caption": caption_of(rows[row]["messages"]), "note": note}
            for row, note in chosen
        ]
    )


def rows_by_id(dataset: lance.LanceDataset, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Image bytes and messages of a few rows by row id."""
    if not ids:
        return {}
    wanted = ",".join(map(str, ids))
    table = dataset.scanner(
        columns=["image", "messages"],
        filter=f"_rowid IN ({wanted})",
        with_row_id=True,
        blob_handling="all_binary",
    ).to_table()
    return {row["_rowid"]: row for row in table.to_pylist()}
