"""ledger.lance: write-ahead and append-only. A row says who was about to publish which file, made how, from what.

A row counts once the table refers to its `planned_file`; one that never does is an expired intent. So a crash needs no
repair, and cleaning up old versions of the table loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import lance
import pyarrow as pa

from lance_assets.store.files import DataRoot, claim, table_exists
from lance_assets.store.schema import LEDGER
from lance_assets.store.table import STORAGE_VERSION, of_batch


@dataclass(frozen=True)
class Intent:
    """One (column, batch, fragment) about to be published. `offsets` None = all rows."""

    column: str
    batch: str
    fragment: int
    scorer: str
    version: str
    config_hash: str
    input_digest: str
    planned_file: str
    rows_ok: int
    rows_failed_transient: int
    rows_failed_permanent: int
    rows_refused: int
    read_version: int
    run_id: str
    started: datetime
    offsets: list[int] | None = None


def append(root: DataRoot, intents: Sequence[Intent]) -> None:
    """Writes the intents in one commit, before anything that they announce."""
    if not intents:
        return
    now = datetime.now(UTC)
    table = pa.Table.from_pylist([{**asdict(intent), "planned": now} for intent in intents], schema=LEDGER)
    if table_exists(root.ledger):
        lance.write_dataset(table, root.ledger, mode="append")
        return
    with claim(root, "ledger.lance"):
        mode = "append" if table_exists(root.ledger) else "create"
        lance.write_dataset(table, root.ledger, mode=mode, data_storage_version=STORAGE_VERSION)


def read(root: DataRoot, batch: str | None = None) -> pa.Table:
    """Ledger rows of schema LEDGER, of one batch or of all; counting or not."""
    if not table_exists(root.ledger):
        return LEDGER.empty_table()
    return lance.dataset(root.ledger).to_table(filter=None if batch is None else of_batch(batch))
