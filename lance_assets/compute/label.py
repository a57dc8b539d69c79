"""The labelling loop: plan the stale cells of a batch, score its fragments as Ray tasks, publish one commit per column.

A fragment is read once and an image decoded once for all the scorers asked for together. What travels back are file
names and counts; images never do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import lance
import numpy as np
import pyarrow as pa
import ray

from lance_assets.ingest.conversation import caption_of
from lance_assets.scoring.api import Item, Scored, Scorer, State, score_items
from lance_assets.store import ledger
from lance_assets.store.columns import Staged, ensure_columns, publish, stage
from lance_assets.store.files import DataRoot, claim
from lance_assets.store.staleness import Identity, StaleCell, input_digest, stale_cells
from lance_assets.store.table import batch_fragments, open_images

Report = Callable[[str], None]

#: Rows read, decoded and scored at a time; bounds memory, whatever the size of a fragment.
CHUNK = 64


class ScoreCall(Protocol):
    """Scores a table of rows with columns id, messages, caption_missing, image, ... for all named scorers."""

    def __call__(self, scorers: Mapping[str, Scorer], rows: pa.Table) -> dict[str, Scored]: ...


@dataclass
class Labelled:
    """What became of one column of one batch. `calls` = rows scored now; `states` = counts of these rows."""

    batch: str
    scorer: str
    calls: int
    reasons: list[str]
    states: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    version: int = 0
    failure: str | None = None


@dataclass(frozen=True)
class Part:
    """One staged column file of one fragment, on its way back from a Ray task."""

    scorer: str
    staged: Staged
    digest: str
    states: tuple[int, int, int, int]
    started: datetime


def column_of(scorer: str) -> str:
    return f"score_{scorer}"


def identity_of(scorer: Scorer) -> Identity:
    """What the column of this scorer claims to be now."""
    return Identity(column_of(scorer.name), scorer.name, scorer.version, scorer.config_hash(), tuple(scorer.fields))


def any_stale(root: DataRoot, batches: Sequence[str], scorer: Scorer, force: bool) -> bool:
    """True where labelling would score something: worth deploying a model for."""
    dataset = open_images(root)
    return any(stale_cells(root, dataset, batch, [identity_of(scorer)], force) for batch in batches)


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
    """Scores one fragment at one pinned version and stages one file per scorer. Runs inside a Ray task."""
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
        values = np.concatenate([result.values for result in results])
        states = np.concatenate([result.states for result in results])
        staged = stage(dataset, number, column_of(name), values, states)
        counts = np.bincount(states, minlength=4)
        digest = input_digest(inputs, scorers[name].fields)
        parts.append(Part(name, staged, digest, (counts[0], counts[1], counts[2], counts[3]), started))
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


_score_fragment = ray.remote(num_cpus=1, max_retries=2)(score_fragment)


def label(
    root: DataRoot,
    batches: Sequence[str],
    scorers: Mapping[str, Scorer],
    run_id: str,
    report: Report,
    call: ScoreCall = score_locally,
    force: bool = False,
) -> Iterator[Labelled]:
    """Scores what is stale in the batches and yields one result per (batch, scorer) after its commit.

    A batch that fails is yielded with `failure` set and does not stop the others; its columns stay stale.
    """
    for batch in batches:
        try:
            yield from _label_batch(root, batch, scorers, run_id, report, call, force)
        except Exception as error:  # the caller raises at the end and names every batch that failed
            report(f"{batch}: {type(error).__name__}: {error}")
            for name in scorers:
                yield Labelled(batch, name, 0, [], failure=f"{type(error).__name__}: {error}")


def _label_batch(
    root: DataRoot,
    batch: str,
    scorers: Mapping[str, Scorer],
    run_id: str,
    report: Report,
    call: ScoreCall,
    force: bool,
) -> Iterator[Labelled]:
    started = time.monotonic()
    with claim(root, batch):
        identities = [identity_of(scorer) for scorer in scorers.values()]
        dataset = ensure_columns(root, [identity.column for identity in identities])
        stale = stale_cells(root, dataset, batch, identities, force)
        results = {name: _planned(batch, name, stale) for name in scorers}
        parts = _score(root, dataset.version, stale, scorers, call)
        ledger.append(root, [_intent(part, batch, scorers[part.scorer], run_id) for part in parts])
        for name, result in results.items():
            mine = [part for part in parts if part.scorer == name]
            if mine:
                properties = {"lance_assets.run": run_id, "lance_assets.scorer": name}
                result.version = publish(root, [part.staged for part in mine], properties).version
                totals = np.sum([part.states for part in mine], axis=0)
                result.states = {state.name.lower(): int(totals[state]) for state in State}
                result.seconds = time.monotonic() - started
                rate = result.calls / max(result.seconds, 1e-9)
                report(f"{batch}: {name} scored {result.calls} rows, {rate:.0f} rows/s")
            else:
                result.version = dataset.version
                report(f"{batch}: {name} is up to date")
            yield result


def _planned(batch: str, name: str, stale: Sequence[StaleCell]) -> Labelled:
    mine = [cell for cell in stale if cell.column == column_of(name)]
    return Labelled(batch, name, sum(cell.rows for cell in mine), sorted({cell.reason for cell in mine}))


def _score(
    root: DataRoot, version: int, stale: Sequence[StaleCell], scorers: Mapping[str, Scorer], call: ScoreCall
) -> list[Part]:
    """One Ray task per stale fragment, all columns that are stale there in one pass."""
    names: dict[int, list[str]] = {}
    for cell in stale:
        names.setdefault(cell.fragment, []).append(cell.column.removeprefix("score_"))
    tasks = [
        _score_fragment.remote(root, version, number, {name: scorers[name] for name in wanted}, call)
        for number, wanted in names.items()
    ]
    found: list[list[Part]] = ray.get(tasks)
    return [part for parts in found for part in parts]


def _intent(part: Part, batch: str, scorer: Scorer, run_id: str) -> ledger.Intent:
    ok, transient, permanent, refused = map(int, part.states)
    return ledger.Intent(
        column=part.staged.column,
        batch=batch,
        fragment=part.staged.fragment,
        scorer=scorer.name,
        version=scorer.version,
        config_hash=scorer.config_hash(),
        input_digest=part.digest,
        planned_file=part.staged.name,
        rows_ok=ok,
        rows_failed_transient=transient,
        rows_failed_permanent=permanent,
        rows_refused=refused,
        read_version=part.staged.read_version,
        run_id=run_id,
        started=part.started,
    )


def batch_values(root: DataRoot, batch: str, scorer: str) -> dict[str, Any]:
    """Values (float32, NaN where not ok) and states of one column of one batch as stored now, for what people see."""
    dataset = open_images(root)
    column = column_of(scorer)
    fragments = [dataset.get_fragment(number) for number in batch_fragments(dataset, batch)]
    if not fragments:
        return {"values": np.array([], np.float32), "states": np.array([], np.uint8)}
    table = dataset.scanner(columns=[column, f"{column}__state"], fragments=fragments).to_table()
    values = table[column].to_numpy(zero_copy_only=False).astype(np.float32)
    return {"values": values, "states": table[f"{column}__state"].to_pylist()}
