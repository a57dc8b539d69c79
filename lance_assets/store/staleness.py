"""Which cells are stale: the plan of every labelling pass, and the truth behind `status`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import lance
import pyarrow as pa

from lance_assets.store import ledger
from lance_assets.store.columns import field_ids, owner
from lance_assets.store.files import DataRoot
from lance_assets.store.table import batch_fragments


@dataclass(frozen=True)
class Identity:
    """What a score column claims to be now. `fields` are the table columns that its scorer reads."""

    column: str
    scorer: str
    version: str
    config_hash: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class StaleCell:
    """One (fragment, column) to score, and why: new, version, config, failed or unknown."""

    batch: str
    fragment: int
    column: str
    rows: int
    reason: str


def stale_cells(
    root: DataRoot, dataset: lance.LanceDataset, batch: str, identities: Sequence[Identity], force: bool = False
) -> list[StaleCell]:
    """The stale cells of one batch at one pinned version, in (fragment, column) order.

    A column file belongs to one fragment whose inputs never change under it (a changed image is a new fragment, whose
    scores are NULL), so the file that answers for the column and its ledger row decide; no row is read.
    """
    history = _history(ledger.read(root, batch))
    return list(_cells(dataset, batch, batch_fragments(dataset, batch), identities, history, force))


def all_stale_cells(
    root: DataRoot, dataset: lance.LanceDataset, identities: Sequence[Identity]
) -> dict[str, list[StaleCell]]:
    """The stale cells of every stored batch, by batch key; a batch where nothing is stale has an empty list."""
    history = _history(ledger.read(root))
    fragments: dict[str, list[int]] = {}
    for fragment in dataset.get_fragments():
        # A fragment belongs to one batch: its first row tells which.
        for key in _first_batch(dataset, fragment):
            fragments.setdefault(key, []).append(fragment.fragment_id)
    return {key: list(_cells(dataset, key, ids, identities, history)) for key, ids in fragments.items()}


def versions_in_use(
    root: DataRoot, dataset: lance.LanceDataset, columns: Sequence[str]
) -> dict[str, list[dict[str, str]]]:
    """Which (version, config_hash) made the values that each column holds, by column: what the ledger says of the files
    that the table refers to, not what the code would do now."""
    history = _history(ledger.read(root))
    found: dict[str, list[dict[str, str]]] = {}
    for column in columns:
        if column not in dataset.schema.names:
            continue
        field = field_ids(dataset, column)[0]
        rows = [history.get(owner(fragment, field) or "") for fragment in dataset.get_fragments()]
        made = {(row["version"], row["config_hash"]) for row in rows if row}
        found[column] = [{"version": version, "config_hash": config} for version, config in sorted(made)]
    return found


def _first_batch(dataset: lance.LanceDataset, fragment: lance.LanceFragment) -> list[str]:
    return dataset.scanner(columns=["batch"], fragments=[fragment], limit=1).to_table()["batch"].to_pylist()


def _history(rows: pa.Table) -> dict[str, dict]:
    return {row["planned_file"]: row for row in rows.to_pylist()}


def _cells(
    dataset: lance.LanceDataset,
    batch: str,
    fragments: Iterable[int],
    identities: Sequence[Identity],
    history: dict[str, dict],
    force: bool = False,
) -> Iterator[StaleCell]:
    for number in fragments:
        fragment = dataset.get_fragment(number)
        if fragment is None:
            continue
        for identity in identities:
            reason = "forced" if force else _why(dataset, fragment, identity, history)
            if reason:
                yield StaleCell(batch, number, identity.column, fragment.count_rows(), reason)


def _why(
    dataset: lance.LanceDataset, fragment: lance.LanceFragment, identity: Identity, history: dict[str, dict]
) -> str | None:
    if identity.column not in dataset.schema.names:
        return "new"
    file = owner(fragment, field_ids(dataset, identity.column)[0])
    if file is None:
        return "new"
    row = history.get(file)
    if row is None:
        return "unknown"  # a file that nobody announced: its values cannot be explained
    if row["version"] != identity.version:
        return "version"
    if row["config_hash"] != identity.config_hash:
        return "config"
    return "failed" if row["rows_failed_transient"] else None


def input_digest(rows: pa.Table, fields: Sequence[str]) -> str:
    """SHA-256 over (id, image_sha256, the fields that the scorer reads) of a fragment's rows, in order.

    The image itself enters by its digest. Maintenance and re-materialization of unchanged rows never change it.
    """
    digest = hashlib.sha256()
    for name in ("id", "image_sha256", *sorted(set(fields) - {"image"})):
        digest.update(f"\2{name}\3".encode())
        for value in rows[name].to_pylist():
            digest.update(repr(value).encode() + b"\1")
    return digest.hexdigest()
