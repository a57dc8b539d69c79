"""ledger.lance: write-ahead and append-only. A row says who was about to publish which file, made how, from what.

A row counts once the table refers to its `planned_file`; one that never does is an intent, used by the next pass or
expired. So a crash needs no repair, and cleaning up old versions of the table loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import lance
import numpy as np
import pyarrow as pa

from lance_assets.store.claims import Busy, claim
from lance_assets.store.columns import CellState
from lance_assets.store.files import DataRoot, table_exists
from lance_assets.store.objects import typed
from lance_assets.store.schema import LEDGER
from lance_assets.store.table import STORAGE_VERSION, of_batch, session

#: The ledger's name for an image file of a batch, which is announced like a column file.
IMAGE = "image"
#: What tells one maker of cells from another, and the columns that count its cells, by state.
MAKER = ("scorer", "version", "config_hash")
COUNTS = {state: f"rows_{state.name.lower()}" for state in CellState}
#: Every column that a scorer may read.
INPUTS = ("image", "messages", "caption_missing", "width", "height")
#: So many appends are merged into one fragment; a merge rewrites at most MERGED_ROWS rows however long the ledger is.
MERGE_AFTER, MERGED_ROWS = 64, 20_000
#: A version of the ledger is read for seconds; old ones go after this time.
KEEP_VERSIONS = timedelta(hours=1)
#: A transient failure is due again after 1, 2, 4, ... minutes, at most an hour.
FIRST_RETRY, LAST_RETRY = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True)
class Intent:
    """One row of the ledger: cells (of one column in one file) that were made in one way. See schema.LEDGER."""

    column: str
    batch: str
    fragment: int | None
    planned_file: str
    scorer: str
    version: str
    config_hash: str
    fields: Sequence[str]
    input_digest: str
    rows_ok: int
    rows_failed_transient: int
    rows_failed_permanent: int
    rows_refused: int
    read_version: int
    run_id: str
    started: datetime
    planned: datetime
    file_sha256: str | None = None
    base: str | None = None
    offsets: np.ndarray | None = None
    attempts: int = 1
    due: datetime | None = None
    carried_from: str | None = None
    detail: str | None = None

    @classmethod
    def of_images(
        cls,
        batch: str,
        file: str,
        rows: int,
        run_id: str,
        started: datetime,
        digest: str = "",
        detail: str | None = None,
    ) -> Intent:
        """A new image file of `rows` rows; `digest` tells what it was made from."""
        return cls(
            column=IMAGE,
            batch=batch,
            fragment=None,
            planned_file=file,
            scorer="",
            version="",
            config_hash="",
            fields=(),
            input_digest=digest,
            rows_ok=rows,
            rows_failed_transient=0,
            rows_failed_permanent=0,
            rows_refused=0,
            read_version=0,
            run_id=run_id,
            started=started,
            planned=now(),
            detail=detail,
        )

    @classmethod
    def of_damage(cls, column: str, batch: str, fragment: int, file: str, detail: str) -> Intent:
        """Says that a column file is damaged: its cells are stale, whatever its other rows say."""
        return replace(cls.of_images(batch, file, 0, "", now(), detail=detail), column=column, fragment=fragment)

    @property
    def damaged(self) -> bool:
        return not self.scorer and self.column != IMAGE

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Intent:
        """A row of the ledger as a dictionary. A row of format 1 does not say what its scorer read: then everything."""
        offsets, fields = row["offsets"], row["fields"]
        return cls(
            **{
                **row,
                "offsets": None if offsets is None else np.asarray(offsets, np.int32),
                "fields": tuple(INPUTS if fields is None else fields),
                "attempts": row["attempts"] or 1,
            }
        )

    @property
    def rows(self) -> int:
        """Cells that it speaks of, whatever their state."""
        return self.rows_ok + self.rows_failed_transient + self.rows_failed_permanent + self.rows_refused

    def covered(self, physical_rows: int) -> np.ndarray:
        """Offsets of its cells in a fragment of so many rows, ascending."""
        return np.arange(physical_rows, dtype=np.int32) if self.offsets is None else self.offsets

    def moved(self, states: np.ndarray, offsets: np.ndarray, **changes: Any) -> Intent:
        """The same making for other cells: those at `offsets` of a file with these states (-1 = no cell)."""
        whole = len(offsets) == len(states)
        return replace(self, offsets=None if whole else offsets, **by_state(states[offsets]), **changes)


def by_state(states: np.ndarray) -> dict[str, Any]:
    """Counts of states as the ledger's columns name them."""
    return {name: int((states == state).sum()) for state, name in COUNTS.items()}


def counted(rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Of each ledger row the cells that it speaks of, and how many of them lie in another file than they were computed
    for."""
    cells = np.stack([rows[name].to_numpy() for name in COUNTS.values()]).sum(axis=0, dtype=np.int64)
    return cells, np.where(rows["carried_from"].is_valid().to_numpy(), cells, 0)


def retry_at(now: datetime, attempts: int) -> datetime:
    """When cells that failed in passing for the `attempts`-th time may be tried again by themselves."""
    return now + min(FIRST_RETRY * 2 ** min(attempts - 1, 20), LAST_RETRY)


@typed
def append(root: DataRoot, intents: Sequence[Intent]) -> None:
    """Writes the intents in one commit, before anything that they announce."""
    if not intents:
        return
    rows = [{name: getattr(intent, name) for name in LEDGER.names} for intent in intents]
    table = pa.Table.from_pylist(rows, schema=LEDGER)
    if not table_exists(root.ledger):
        with claim(root, "ledger.lance"):
            if not table_exists(root.ledger):
                _create(root)
    dataset = lance.write_dataset(table, root.ledger, mode="append")
    if dataset.version % MERGE_AFTER == 0:
        merge(root)


def _create(root: DataRoot) -> None:
    dataset = lance.write_dataset(
        LEDGER.empty_table(), root.ledger, mode="create", data_storage_version=STORAGE_VERSION
    )
    dataset.create_scalar_index("batch", "BITMAP")


@typed
def merge(root: DataRoot) -> None:
    """Merges what was appended one by one, renews the index, drops old versions; left out where somebody else does."""
    try:
        with claim(root, "ledger.lance", timeout=0):
            dataset = lance.dataset(root.ledger)
            dataset.optimize.compact_files(target_rows_per_fragment=MERGED_ROWS)
            dataset.optimize.optimize_indices()
            dataset.cleanup_old_versions(older_than=KEEP_VERSIONS)
    except Busy:
        return


@typed
def read(root: DataRoot, batch: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
    """Ledger rows of schema LEDGER (or only some of its columns), of one batch or of all; counting or not, in the order
    in which they were written."""
    if not table_exists(root.ledger):
        return LEDGER.empty_table().select(list(columns or LEDGER.names))
    wanted = None if columns is None else list(columns)
    dataset = lance.dataset(root.ledger, session=session())
    if batch is None:
        return dataset.to_table(columns=wanted)
    # Late: the other columns are read for the rows of the batch only, however long the ledger is.
    return dataset.scanner(columns=wanted, filter=of_batch(batch), late_materialization=True).to_table()


History = Mapping[tuple[str, str], Sequence[Intent]]


def history(rows: pa.Table) -> History:
    """The intents by (column, planned file): what the table refers to finds its explanation here."""
    found: dict[tuple[str, str], list[Intent]] = {}
    for row in rows.to_pylist():
        found.setdefault((row["column"], row["planned_file"]), []).append(Intent.from_row(row))
    return found


def now() -> datetime:
    """Now in UTC, as the ledger keeps time."""
    return datetime.now(UTC)
