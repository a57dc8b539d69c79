"""A trial compared with what the table holds now: how far the labels of a batch moved, and whether that is allowed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import lance
import pyarrow as pa

from lance_assets.store import ledger
from lance_assets.store.columns import CellState, column_file, state_of
from lance_assets.store.comparison import MIN_ROWS, agreement, crossings, largest_moves, named_in, psi, thresholds
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import fragment_at
from lance_assets.store.staleness import made_by
from lance_assets.store.table import batch_fragments, of_batch

#: Metadata of a trial's file: who made the labels in it; and, once it is read, the SHA-256 of the file.
MAKERS, DIGEST = b"lance_assets.makers", b"lance_assets.digest"

Report = dict[str, Any]
"""What `judge` found, as JSON: see `compared`."""


@dataclass(frozen=True)
class Limits:
    """What labels may move. `psi`: population stability index; `crossing_share`: share of rows, 0..1, that cross a
    threshold of `filter` (Lance SQL of the training set; None = there is none), and of rows that lose their label;
    `correlation`: of old and new numbers, at least."""

    psi: float
    crossing_share: float
    filter: str | None = None
    correlation: float = -1.0


def compared(
    root: DataRoot, dataset: lance.LanceDataset, column: str, batch: str, before: pa.Table, limits: Limits
) -> Report:
    """How far the labels of a batch moved from those `before`, as a trial keeps them. `no_threshold`: the filter names
    the column, but what it compares it with was not found (see `thresholds`). `lost_label`: rows that had a label and
    were scored again without getting one; whatever a filter wants of labels, it takes them no more."""
    of = compared_with(dataset, column, batch, before, limits)
    now = dataset.to_table(columns=["id", column, state_of(column)], filter=of_batch(batch))
    places = {id: at for at, id in enumerate(now["id"].to_pylist())}
    there = pa.array([id in places for id in before["id"].to_pylist()], pa.bool_())  # some rows may be gone since
    made_before, before = makers(before), before.filter(there)
    now = now.take(pa.array([places[id] for id in before["id"].to_pylist()], pa.int64()))
    old, new = before["label"].to_pylist(), now[column].to_pylist()
    both = [(a, b) for a, b in zip(old, new, strict=True) if a is not None and b is not None]
    was, became = [a for a, _ in both], [b for _, b in both]
    bounds = thresholds(limits.filter, column)
    lost, won = crossings(old, new, bounds)
    share = (lost + won) / len(old) if old else 0.0
    moved = psi(was, became) if len(both) >= MIN_ROWS else 0.0
    agreed = agreement(was, became)
    states = now[state_of(column)].to_pylist()
    gone = sum(a is not None and b is None and s is not None for a, b, s in zip(old, new, states, strict=True))
    failed = sum(state not in (None, int(CellState.OK)) for state in states)
    why = []
    if moved > limits.psi:
        why.append(f"population stability index {moved:.3g} > {limits.psi:g}")
    if share > limits.crossing_share:
        why.append(f"{share:.1%} of rows cross the filter's threshold, > {limits.crossing_share:.1%}")
    if old and gone / len(old) > limits.crossing_share:
        why.append(f"{gone / len(old):.1%} of rows lost their label, > {limits.crossing_share:.1%}")
    if len(both) >= MIN_ROWS and agreed.get("correlation", 1.0) < limits.correlation:
        why.append(f"correlation of old and new labels {agreed['correlation']:.2f} < {limits.correlation:g}")
    ids = before["id"].to_pylist()
    return {
        "column": column,
        "batch": batch,
        "before": made_before,
        "after": sorted(made_now(root, dataset, batch, column)),
        "rows": len(old),
        "psi": round(moved, 4),
        **{name: round(value, 4) for name, value in agreed.items()},
        "thresholds": [f"{sign} {value}" for sign, value in bounds],
        "no_threshold": bool(named_in(limits.filter, [column])) and not bounds,
        "crossed_out": lost,
        "crossed_in": won,
        "crossing_share": round(share, 4),
        "without_label_before": sum(label is None for label in old),
        "without_label_now": failed,
        "lost_label": gone,
        "moves": [{"id": ids[at], "before": old[at], "after": new[at]} for at in largest_moves(old, new)],
        "limits": {"psi": limits.psi, "crossing_share": limits.crossing_share, "correlation": limits.correlation},
        "passed": not why,
        "why": why,
        "time": ledger.now().isoformat(timespec="seconds"),
        "of": of,
    }


def compared_with(dataset: lance.LanceDataset, column: str, batch: str, before: pa.Table, limits: Limits) -> str:
    """All that decides what `compared` finds, in 16 hex digits: the trial, the files and deletions of the batch, the
    limits. A column file never changes."""
    fragments = [fragment_at(dataset, number) for number in batch_fragments(dataset, batch)]
    files = [(one.fragment_id, column_file(dataset, one, column), one.num_deletions) for one in fragments]
    digest = (before.schema.metadata or {}).get(DIGEST, b"").decode()
    return hashlib.sha256(json.dumps([digest, files, asdict(limits)]).encode()).hexdigest()[:16]


def made_now(root: DataRoot, dataset: lance.LanceDataset, batch: str, column: str) -> set[str]:
    """Version and config hash of who made the labels that a batch has."""
    return {f"{one.version} {one.config_hash}" for one in made_by(root, dataset, batch, column) if one.rows}


def makers(trial: pa.Table) -> list[str]:
    return json.loads((trial.schema.metadata or {}).get(MAKERS, b"[]"))
