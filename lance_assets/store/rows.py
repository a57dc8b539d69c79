"""One stored row: its values, its cells with what explains them, and the runs that stored its image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lance
import pyarrow.compute as pc

from lance_assets.store.columns import CellState, score_columns, state_of
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import fragment_at, image_file
from lance_assets.store.ledger import IMAGE, Intent
from lance_assets.store.objects import in_one_line
from lance_assets.store.provenance import Place, Provenance, announced, cells, scan
from lance_assets.store.schema import IMAGES
from lance_assets.store.table import open_images


@dataclass(frozen=True)
class Cell:
    """`state` None = never scored; `made` None = nobody announced it; `unreadable` = what was raised when it was read,
    then value and state are unknown."""

    value: Any
    state: CellState | None
    made: Provenance | None
    unreadable: str | None = None


@dataclass(frozen=True)
class Row:
    """A stored row: `values` of the columns that are no scores (the image as bytes), `cells` by score column, and the
    ledger rows of the image files that it came in: several only where a compaction merged files of several runs."""

    place: Place
    values: dict[str, Any]
    cells: dict[str, Cell]
    images: list[Intent]


def explain_row(root: DataRoot, dataset: lance.LanceDataset, place: Place) -> Row:
    """All that is known about a stored row. A damaged column file spoils its own cells only. Raises FragmentGone."""
    fragment = fragment_at(dataset, place.fragment)
    scores = score_columns(dataset.schema)
    others = [name for name in dataset.schema.names if name not in {*scores, *map(state_of, scores)}]
    made = cells(root, dataset, place, scores)
    return Row(
        place,
        _read(dataset, fragment, place, others),
        {name: _cell(dataset, fragment, place, name, made[name]) for name in scores},
        _images(root, place.batch, image_file(dataset, fragment)),
    )


def rows_at(root: DataRoot, version: int, addresses: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Rows of schema IMAGES, image bytes included, at row addresses of a version of the table, by address."""
    if not addresses:
        return {}
    dataset = open_images(root, version)
    # `take` would give positions of blobs; only a scan gives their bytes
    found = dataset.scanner(
        columns=IMAGES.names,
        filter=f"_rowaddr IN ({','.join(map(str, addresses))})",
        fragments=[fragment_at(dataset, number) for number in sorted({address >> 32 for address in addresses})],
        blob_handling="all_binary",
        with_row_address=True,
    ).to_table()
    return {row.pop("_rowaddr"): row for row in found.to_pylist()}


def _read(
    dataset: lance.LanceDataset, fragment: lance.LanceFragment, place: Place, columns: Sequence[str]
) -> dict[str, Any]:
    rows = scan(dataset, columns, place.id, fragment).to_pylist()
    return next({name: row[name] for name in columns} for row in rows if row["_rowaddr"] & 0xFFFFFFFF == place.offset)


def _cell(
    dataset: lance.LanceDataset, fragment: lance.LanceFragment, place: Place, column: str, made: Provenance | None
) -> Cell:
    try:
        row = _read(dataset, fragment, place, [column, state_of(column)])
    except (OSError, ValueError) as error:
        return Cell(None, None, made, in_one_line(str(error)))
    state = row[state_of(column)]
    return Cell(row[column], None if state is None else CellState(state), made)


def _images(root: DataRoot, batch: str, file: str) -> list[Intent]:
    """The announcements of the image files that a file was compacted from, or of itself."""
    found: list[Intent] = []
    waiting = {file}
    while waiting:
        rows = announced(root, batch, waiting).filter(pc.field("column") == IMAGE)
        waiting = set()
        for intent in map(Intent.from_row, rows.to_pylist()):
            if (intent.detail or "").startswith("{"):  # the map of a compaction; anything else is not JSON
                waiting |= {one["file"] for one in json.loads(intent.detail or "")["compacted_from"]}
            else:
                found.append(intent)
    return found
