"""Reads the few rows that a person should see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import lance
import numpy as np

from lance_assets.ingest.conversation import caption_of
from lance_assets.preview.sheet import contact_sheet
from lance_assets.store.columns import column_of
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
    """Contact sheet of the lowest and the highest scores of a batch, each with its score."""
    dataset = open_images(root)
    found = dataset.scanner(columns=[column_of(scorer)], filter=of_batch(batch), with_row_id=True).to_table()
    scored = sorted(
        (value, row)
        for value, row in zip(found[column_of(scorer)].to_pylist(), found["_rowid"].to_pylist(), strict=True)
        if value is not None
    )
    half = SHEET_ROWS // 2
    chosen = scored if len(scored) <= SHEET_ROWS else scored[:half] + scored[-half:]
    return _sheet(dataset, [(row, f"{scorer} {value:.0f}") for value, row in chosen])


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
