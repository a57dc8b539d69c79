"""One fragment, scored inside a Ray task: read once, each image decoded once, one staged file per scorer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Protocol

import lance
import numpy as np
import pyarrow as pa

from lance_assets.ingest.conversation import caption_of
from lance_assets.scoring.api import Item, Scored, Scorer, score_items
from lance_assets.store import ledger
from lance_assets.store.cells import Cells
from lance_assets.store.columns import column_of
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import fragment_at
from lance_assets.store.intents import Part
from lance_assets.store.labelling import Job
from lance_assets.store.staging import stage
from lance_assets.store.staleness import input_digest
from lance_assets.store.table import open_images

#: Rows decoded and scored at a time: bounds the memory of decoded pictures, whatever the size of a fragment.
CHUNK = 64


class ScoreCall(Protocol):
    """Scores a table of rows with columns id, messages, caption_missing, image, ... for all named scorers."""

    def __call__(self, scorers: Mapping[str, Scorer], rows: pa.Table) -> dict[str, Scored]: ...


def score_locally(scorers: Mapping[str, Scorer], rows: pa.Table) -> dict[str, Scored]:
    """The fused pass in this process."""
    return score_items(scorers, items_of(rows))


def items_of(rows: pa.Table) -> list[Item]:
    """Rows of the table as scorers see them; pictures stay encoded until a scorer touches them."""
    present = ["image"] if "image" in rows.schema.names else []
    images = rows["image"].to_pylist() if present else [None] * rows.num_rows
    return [
        Item(row["id"], caption_of(row["messages"]), row["caption_missing"], image, row.get("width"), row.get("height"))
        for row, image in zip(rows.drop_columns(present).to_pylist(), images, strict=True)
    ]


def score_fragment(
    root: DataRoot, version: int, job: Job, scorers: Mapping[str, Scorer], call: ScoreCall
) -> list[Part]:
    """Scores the stale rows of one fragment at one pinned version and stages one file per scorer."""
    started = ledger.now()
    dataset = open_images(root, version)
    wanted = {name: job.columns[column_of(name)] for name in scorers}
    rows: dict[str, list[pa.Table]] = {name: [] for name in scorers}
    scored: dict[str, list[Scored]] = {name: [] for name in scorers}
    for chunk in stale_rows(dataset, job.fragment, scorers, wanted):
        for names, mine in _shares(chunk, wanted):
            for name, result in call({name: scorers[name] for name in names}, mine).items():
                scored[name].append(result)
                rows[name].append(mine.drop_columns([name for name in ("image",) if name in mine.schema.names]))
    return [
        _part(root, dataset, job.fragment, scorers[name], wanted[name], rows[name], results, started)
        for name, results in scored.items()
    ]


def _part(
    root: DataRoot,
    dataset: lance.LanceDataset,
    number: int,
    scorer: Scorer,
    offsets: np.ndarray | None,
    rows: list[pa.Table],
    results: list[Scored],
    started: datetime,
) -> Part:
    states = np.concatenate([result.states for result in results])
    values = np.concatenate([result.values for result in results])
    return Part(
        staged=stage(root, dataset, number, column_of(scorer.name), Cells.of(values, states), offsets),
        digest=input_digest(pa.concat_tables(rows), scorer.fields),
        states=tuple(int(count) for count in np.bincount(states, minlength=4)),
        message=next((text for result in results for text in result.messages if text), None),
        started=started,
    )


def _shares(chunk: pa.Table, wanted: Mapping[str, np.ndarray | None]) -> Iterator[tuple[list[str], pa.Table]]:
    """Which scorers want which rows of a chunk: those that want the same rows share a pass."""
    at = chunk["_rowaddr"].to_numpy() & 0xFFFFFFFF
    groups: dict[bytes, tuple[list[str], np.ndarray]] = {}
    for name, offsets in wanted.items():
        mask = np.ones(len(at), bool) if offsets is None else np.isin(at, offsets)
        groups.setdefault(mask.tobytes(), ([], mask))[0].append(name)
    for names, mask in groups.values():
        if mask.any():
            yield names, chunk if mask.all() else chunk.filter(pa.array(mask))


def stale_rows(
    dataset: lance.LanceDataset,
    number: int,
    scorers: Mapping[str, Scorer],
    wanted: Mapping[str, np.ndarray | None],
) -> Iterator[pa.Table]:
    """The rows of a fragment that any scorer wants (offsets by name, None = all), CHUNK at a time, with their row ids,
    addresses and what the scorers read."""
    fields = {name for scorer in scorers.values() for name in scorer.fields}
    columns = ["id", "image_sha256", *sorted(fields | {"messages", "caption_missing"})]
    rows = None
    if all(offsets is not None for offsets in wanted.values()):
        stale = np.unique(np.concatenate([offsets for offsets in wanted.values() if offsets is not None]))
        rows = f"_rowaddr IN ({','.join(str((number << 32) + int(offset)) for offset in stale)})"
    scanner = dataset.scanner(
        columns=columns,
        filter=rows,
        fragments=[fragment_at(dataset, number)],
        batch_size=CHUNK,
        blob_handling="all_binary",
        scan_in_order=True,
        with_row_address=True,
        with_row_id=True,
    )
    for batch in scanner.to_batches():
        yield pa.Table.from_batches([batch])
