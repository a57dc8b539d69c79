"""Whether a root that was killed at holds what an undisturbed one does, cell for cell, and can explain each cell."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import lance
import numpy as np

from lance_assets.store import ledger
from lance_assets.store.columns import column_file, score_columns, state_of
from lance_assets.store.files import DataRoot
from lance_assets.store.staging import alive_offsets
from lance_assets.store.staleness import Identity, all_stale_cells
from lance_assets.store.table import open_images
from lance_assets.store.verify import verify

Cell = tuple[str, str]
#: A maker: scorer, version and config hash.
Maker = tuple[str, str, str]


@dataclass
class Findings:
    """What is wrong, in words, by kind: lost and duplicated rows or cells, wrong values, cells that the ledger does
    not explain, what `verify` found, cells that are stale here and not there."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def __str__(self) -> str:
        return "; ".join(f"{len(all)} {kind} (first: {all[0]})" for kind, all in vars(self).items() if all)


def rows(dataset: lance.LanceDataset) -> list[dict[str, Any]]:
    """Every row with all its columns, the image by its SHA-256, in the order of ids."""
    table = dataset.scanner(blob_handling="all_binary").to_table().sort_by("id")
    images = [hashlib.sha256(image).hexdigest() for image in table["image"].to_pylist()]
    return [
        {**row, "image": image} for row, image in zip(table.drop_columns(["image"]).to_pylist(), images, strict=True)
    ]


def makers(root: DataRoot, dataset: lance.LanceDataset) -> dict[Cell, list[Maker]]:
    """For each cell that was ever scored, by (id, column), who made it: each ledger row that speaks of it."""
    known = ledger.history(ledger.read(root))
    found: dict[Cell, list[Maker]] = {}
    columns = score_columns(dataset.schema)
    for fragment in dataset.get_fragments():
        names = ["id", *map(state_of, columns)]
        table = dataset.scanner(columns=names, fragments=[fragment], scan_in_order=True).to_table()
        at = alive_offsets(fragment)
        for column in columns:
            intents = known.get((column, column_file(dataset, fragment, column) or ""), ())
            covers = [np.isin(at, intent.covered(fragment.physical_rows)) for intent in intents]
            made = [(intent.scorer, intent.version, intent.config_hash) for intent in intents]
            for number, row in enumerate(table.select(["id", state_of(column)]).to_pylist()):
                if row[state_of(column)] is not None:
                    found[row["id"], column] = [maker for maker, here in zip(made, covers, strict=True) if here[number]]
    return found


def compare(root: DataRoot, twin: DataRoot, identities: Sequence[Identity]) -> Findings:
    """What is wrong with `root`, when `twin` is right."""
    found = Findings()
    ours, theirs = open_images(root), open_images(twin)
    mine, wanted = rows(ours), {row["id"]: row for row in rows(theirs)}
    _rows(found, mine, wanted)
    _makers(found, makers(root, ours), makers(twin, theirs))
    found.problems += [str(problem) for problem in verify(root, deep=True).problems]
    stale, expected = _stale(root, ours, identities), _stale(twin, theirs, identities)
    for cell in stale | expected:
        if stale[cell] != expected[cell]:
            found.stale.append(f"{cell}: {stale[cell]} rows, {expected[cell]} expected")
    return found


def _rows(found: Findings, mine: Sequence[Mapping[str, Any]], wanted: Mapping[str, Mapping[str, Any]]) -> None:
    copies = Counter(row["id"] for row in mine)
    found.lost += [f"row {name}" for name in wanted if name not in copies]
    found.duplicated += [f"row {name}, {count} times" for name, count in copies.items() if count > 1]
    found.wrong += [f"row {name} should not be there" for name in copies if name not in wanted]
    for row in mine:
        for name, value in wanted.get(row["id"], {}).items():
            if row.get(name) != value:
                kind = found.lost if row.get(name) is None else found.wrong
                kind.append(f"{name} of row {row['id']} is {row.get(name)}, not {value}")


def _makers(found: Findings, mine: Mapping[Cell, list[Maker]], wanted: Mapping[Cell, list[Maker]]) -> None:
    for cell, made in mine.items():
        if len(made) != 1:
            found.unexplained.append(f"{cell} has {len(made)} explanations")
        elif made != wanted.get(cell):
            found.unexplained.append(f"{cell} was made by {made}, not by {wanted.get(cell)}")


def _stale(root: DataRoot, dataset: lance.LanceDataset, identities: Sequence[Identity]) -> Counter[tuple[str, str]]:
    """Stale rows by (batch, column)."""
    found: Counter[tuple[str, str]] = Counter()
    for batch, cells in all_stale_cells(root, dataset, identities).items():
        for cell in cells:
            found[batch, cell.column] += cell.rows
    return found
