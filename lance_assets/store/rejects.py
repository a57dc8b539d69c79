"""rejects.lance: rows that could not be stored, one row per (batch, id), with a typed reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import lance
import pyarrow as pa

from lance_assets.store.claims import claim
from lance_assets.store.files import DataRoot, table_exists
from lance_assets.store.schema import REJECTS
from lance_assets.store.table import STORAGE_VERSION, of_batch


def read_rejects(root: DataRoot, batch: str | None = None) -> pa.Table:
    """Rejects of one batch, or all of them; schema REJECTS."""
    if not table_exists(root.rejects):
        return REJECTS.empty_table()
    return lance.dataset(root.rejects).to_table(filter=None if batch is None else of_batch(batch))


def replace_rejects(root: DataRoot, batch: str, rejects: pa.Table, settled: Collection[str] = ()) -> None:
    """Makes `rejects`, and those that are there with an id in `settled`, the rejects of a batch. Attempts add up and
    the first time stays for ids known before."""
    with claim(root, "rejects.lance"):
        before = {row["id"]: row for row in read_rejects(root, batch).to_pylist()}
        rows = rejects.to_pylist()
        for row in rows:
            if old := before.get(row["id"]):
                row["attempts"] += old["attempts"]
                row["first_time"] = old["first_time"]
        rows += [before[id] for id in settled if id in before]
        table = pa.Table.from_pylist(rows, schema=REJECTS)
        if not table_exists(root.rejects):
            lance.write_dataset(table, root.rejects, mode="create", data_storage_version=STORAGE_VERSION)
            return
        if not before and not rows:
            return
        # One commit: rows of this batch that are not rejected any more go, the others come or change.
        lance.dataset(root.rejects).merge_insert(
            ["batch", "id"]
        ).when_matched_update_all().when_not_matched_insert_all().when_not_matched_by_source_delete(
            of_batch(batch)
        ).execute(table)


def reasons(rejects: pa.Table) -> dict[str, int]:
    """How many rows by reason, most frequent first."""
    return dict(Counter(rejects["reason"].to_pylist()).most_common())


def hopeful(rejects: pa.Table) -> set[str]:
    """Ids of rows that may go better next time: they failed in passing, or their server may be allowed by now."""
    rows = rejects.select(["id", "reason", "transient"]).to_pylist()
    return {row["id"] for row in rows if row["transient"] or row["reason"] == "blocked_address"}


def worth_another_try(rejects: pa.Table) -> set[str]:
    """Batches with a row that may go better next time."""
    ids = hopeful(rejects)
    pairs = zip(rejects["batch"].to_pylist(), rejects["id"].to_pylist(), strict=True)
    return {batch for batch, id in pairs if id in ids}
