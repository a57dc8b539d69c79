"""One fragment, scored inside a Ray task: read once, each image decoded once, one staged file per scorer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import lance
import numpy as np
import pyarrow as pa

from lance_assets.ingest.conversation import caption_of
from lance_assets.scoring.api import Item, Scored, Scorer, score_items
from lance_assets.store.columns import Staged, column_of, stage
from lance_assets.store.files import DataRoot
from lance_assets.store.staleness import input_digest
from lance_assets.store.table import open_images

#: Rows decoded and scored at a time: bounds the memory of decoded pictures, whatever the size of a fragment.
CHUNK = 64


class ScoreCall(Protocol):
    """Scores a table of rows with columns id, messages, caption_missing, image, ... for all named scorers."""

    def __call__(self, scorers: Mapping[str, Scorer], rows: pa.Table) -> dict[str, Scored]: ...


@dataclass(frozen=True)
class Part:
    """One staged column file of one fragment, on its way back from a Ray task. `states` counts rows by state,
    `message` is the first reason why a row has no score."""

    scorer: str
    staged: Staged
    digest: str
    states: tuple[int, ...]
    message: str | None
    started: datetime


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
    root: DataRoot, version: int, number: int, scorers: Mapping[str, Scorer], call: ScoreCall
) -> list[Part]:
    """Scores one fragment at one pinned version and stages one file per scorer."""
    started = datetime.now(UTC)
    dataset = open_images(root, version)
    rows: list[pa.Table] = []
    scored: dict[str, list[Scored]] = {name: [] for name in scorers}
    for chunk in _read(dataset, number, scorers):
        rows.append(chunk.drop_columns([name for name in ("image",) if name in chunk.schema.names]))
        for name, result in call(scorers, chunk).items():
            scored[name].append(result)
    inputs = pa.concat_tables(rows)
    parts: list[Part] = []
    for name, results in scored.items():
        states = np.concatenate([result.states for result in results])
        staged = stage(dataset, number, column_of(name), np.concatenate([result.values for result in results]), states)
        parts.append(
            Part(
                scorer=name,
                staged=staged,
                digest=input_digest(inputs, scorers[name].fields),
                states=tuple(int(count) for count in np.bincount(states, minlength=4)),
                message=next((text for result in results for text in result.messages if text), None),
                started=started,
            )
        )
    return parts


def _read(dataset: lance.LanceDataset, number: int, scorers: Mapping[str, Scorer]) -> Iterator[pa.Table]:
    wanted = {name for scorer in scorers.values() for name in scorer.fields}
    columns = ["id", "image_sha256", *sorted(wanted | {"messages", "caption_missing"})]
    fragment = dataset.get_fragment(number)
    scanner = dataset.scanner(
        columns=columns, fragments=[fragment], batch_size=CHUNK, blob_handling="all_binary", scan_in_order=True
    )
    for batch in scanner.to_batches():
        yield pa.Table.from_batches([batch])
