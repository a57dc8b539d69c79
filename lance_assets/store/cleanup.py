"""Cleanup: old versions go, and files that nobody will ever refer to; what a tag or a running writer holds stays.

A file that no version refers to may belong to a writer at work. Only those go that the ledger names as intents of a
batch that nobody writes, older than the retention time; what a writer left unannounced, Lance takes after seven days,
and the piece of a file that it left (store.files.in_large_pieces), which Lance does not know, goes after as long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import lance

from lance_assets.store import ledger
from lance_assets.store.claims import LEASE_S, Busy, claim
from lance_assets.store.failures import forget_failures
from lance_assets.store.files import DataRoot, delete, is_piece, listing, table_exists
from lance_assets.store.fragments import DATA, Used
from lance_assets.store.objects import typed
from lance_assets.store.table import open_images
from lance_assets.store.versions import HOLD, drop_dead_holds, steady

RETENTION = timedelta(days=7)


@dataclass(frozen=True)
class Cleaned:
    """What went and what stayed. `kept` are tags with their reasons, `busy` batches that are being written."""

    versions: int
    bytes: int
    expired: list[str] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)
    busy: list[str] = field(default_factory=list)


@typed
def cleanup(root: DataRoot, older_than: timedelta = RETENTION, patience: float | None = None) -> Cleaned:
    """Removes versions older than that which no tag protects, the files that only they needed, expired intents, pieces
    of image files that killed writers left, and why rows failed that are gone or have a value since.

    Safe while others work: a version that a writer works from is tagged, and its batch is left alone. The ledger is
    merged, never shortened. `patience` is how many seconds a holder may be silent before it counts as dead (None = at
    once for a local lock, a lease's time on an object store). Raises Unreachable.
    """
    if patience is None:
        patience = 0 if root.is_local else 1.5 * LEASE_S
    busy = drop_dead_holds(root, patience)
    dataset = open_images(root)
    said = steady(
        lambda: dataset.cleanup_old_versions(older_than=older_than, error_if_tagged_old_versions=False),
    )
    removed, size = said.old_versions, said.bytes_removed
    if table_exists(root.rejects):
        rejects = lance.dataset(root.rejects).cleanup_old_versions(older_than=older_than)
        removed, size = removed + rejects.old_versions, size + rejects.bytes_removed
    if table_exists(root.ledger):
        ledger.merge(root)
    before = datetime.now(UTC) - older_than
    there = list(listing(root, DATA))
    expired, freed, writing = _expired(root, before, {name: size for name, size, _ in there})
    pieces = _pieces(root, there)
    expired, freed = sorted([*expired, *pieces]), freed + sum(pieces.values())
    writing += forget_failures(root, before)
    tags = steady(open_images(root).tags.list)
    kept = {name: said["metadata"].get("reason", "") for name, said in tags.items() if not name.startswith(HOLD)}
    return Cleaned(removed, size + freed, expired, kept, sorted({*busy, *writing}))


def _pieces(root: DataRoot, there: Sequence[tuple[str, int, datetime]]) -> dict[str, int]:
    """Deletes the pieces of image files to which nobody added for seven days: their writers were killed. Returns names
    and bytes. `there` is the listing of the data files."""
    before = datetime.now(UTC) - RETENTION
    pieces = {name: size for name, size, changed in there if is_piece(name) and changed < before}
    for name in pieces:
        delete(root, f"{DATA}/{name}")
    return pieces


def _expired(root: DataRoot, before: datetime, sizes: Mapping[str, int]) -> tuple[list[str], int, list[str]]:
    """Deletes the files of intents planned before that time which no version refers to. Returns their names, bytes, and
    the batches that were left alone since somebody writes them. `sizes` are bytes of the data files."""
    named: dict[str, set[str]] = {}
    for row in ledger.read(root, columns=["batch", "planned_file", "planned"]).to_pylist():
        if row["planned"] < before and row["planned_file"] in sizes:
            named.setdefault(row["batch"], set()).add(row["planned_file"])
    used = Used(root)
    used.now()
    gone: list[str] = []
    busy: list[str] = []
    for batch, files in named.items():
        if not files - used.files:
            continue
        try:
            with claim(root, batch, timeout=0):
                left = files - used.now()  # again, now that nobody publishes
                for name in sorted(left):
                    delete(root, f"{DATA}/{name}")
                gone += left
        except Busy:
            busy.append(batch)
    return sorted(gone), sum(sizes[name] for name in gone), busy
