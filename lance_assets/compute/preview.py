"""Reads the few rows that a person should see."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import lance
import numpy as np
import pyarrow as pa

from lance_assets.ingest.conversation import caption_of
from lance_assets.preview.sheet import contact_sheet
from lance_assets.store.columns import column_of, is_number, state_of
from lance_assets.store.files import DataRoot
from lance_assets.store.table import batch_fragments, of_batch, open_images, quoted

SHEET_ROWS = 8


def sample_sheet(root: DataRoot, batch: str) -> str:
    """Contact sheet of rows spread evenly over a batch."""
    dataset = open_images(root)
    ids = spread_rows(dataset, batch, SHEET_ROWS)
    return _sheet(rows_by_id(dataset, ids), [(row, None) for row in ids])


def spread_rows(dataset: lance.LanceDataset, batch: str, count: int) -> list[int]:
    """Ids of at most so many rows, spread evenly over a batch."""
    ids = _row_ids(dataset, batch)
    at = np.linspace(0, len(ids) - 1, min(count, len(ids))).astype(int) if ids else []
    return [ids[position] for position in at]


def score_sheets(root: DataRoot, batch: str, scorer: str) -> dict[str, str]:
    """Contact sheets of a batch with the scores: `lowest_and_highest`, and `random` rows, the same ones each time; of
    values that are no numbers `examples` alone."""
    dataset = open_images(root)
    found = dataset.scanner(columns=[column_of(scorer)], filter=of_batch(batch), with_row_id=True).to_table()
    pairs = zip(found[column_of(scorer)].to_pylist(), found["_rowid"].to_pylist(), strict=True)
    scored = [(value, row) for value, row in pairs if value is not None]
    half = SHEET_ROWS // 2
    chosen = {"random": random.Random(batch).sample(scored, min(half, len(scored)))}
    if is_number(found[column_of(scorer)].type):
        scored.sort()
        chosen["lowest_and_highest"] = scored if len(scored) <= SHEET_ROWS else scored[:half] + scored[-half:]
    else:
        chosen = {"examples": scored if len(scored) <= SHEET_ROWS else scored[:half] + scored[-half:]}
    rows = rows_by_id(dataset, list({row for some in chosen.values() for _, row in some}))
    return {name: _sheet(rows, [(row, _noted(scorer, value)) for value, row in some]) for name, some in chosen.items()}


def moves_sheet(root: DataRoot, batch: str, moves: Sequence[Mapping[str, Any]]) -> str:
    """Contact sheet of rows of a batch (`id`) with their labels before and after."""
    if not moves:
        return contact_sheet([])
    wanted = ", ".join(quoted(move["id"]) for move in moves)
    table = open_images(root).scanner(
        columns=["id", "image", "messages"],
        filter=f"{of_batch(batch)} AND id IN ({wanted})",
        blob_handling="all_binary",
    )
    rows = {row["id"]: row for row in table.to_table().to_pylist()}
    return contact_sheet(
        [
            {
                "image": rows[move["id"]]["image"],
                "caption": caption_of(rows[move["id"]]["messages"]),
                "note": f"{_label(move['before'])} → {_label(move['after'])}",
            }
            for move in moves
            if move["id"] in rows  # it may have been replaced since
        ]
    )


def _label(value: Any) -> str:
    if value is None:
        return "no label"
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)[:40]


def _noted(scorer: str, value: Any) -> str:
    return f"{scorer} {value:.3g}" if isinstance(value, int | float) else str(value)[:80]


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


def _sheet(rows: Mapping[int, Mapping[str, Any]], chosen: Sequence[tuple[int, str | None]]) -> str:
    return contact_sheet(
        [
            {"image": rows[row]["image"], "caption": caption_of(rows[row]["messages"]), "note": note}
            for row, note in chosen
        ]
    )


def rows_by_id(
    dataset: lance.LanceDataset, ids: Sequence[int], columns: Sequence[str] = ("image", "messages")
) -> dict[int, dict[str, Any]]:
    """A few rows by row id."""
    if not ids:
        return {}
    wanted = ",".join(map(str, ids))
    table = dataset.scanner(
        columns=list(columns),
        filter=f"_rowid IN ({wanted})",
        with_row_id=True,
        blob_handling="all_binary",
    ).to_table()
    return {row["_rowid"]: row for row in table.to_pylist()}
