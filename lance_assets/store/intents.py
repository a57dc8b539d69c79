"""What a scored fragment says in the ledger before it is published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa

from lance_assets.store import ledger
from lance_assets.store.ledger import History, Intent, by_state, retry_at
from lance_assets.store.staging import Staged
from lance_assets.store.staleness import Identity, StaleCell


@dataclass(frozen=True)
class Part:
    """One staged column file of one fragment. `digest` is the input digest of the rows that were scored, `states` their
    counts by state, `failures` (schema failures.FAILED) the rows without a value."""

    staged: Staged
    digest: str
    states: tuple[int, ...]
    failures: pa.Table
    started: datetime

    @property
    def message(self) -> str | None:
        """The first reason why a row has no value."""
        return next((text for text in self.failures["message"].to_pylist() if text), None)


def announced(
    part: Part, batch: str, identity: Identity, run_id: str, stale: Sequence[StaleCell], known: History
) -> list[Intent]:
    """The ledger rows of a staged file: one for what was scored now, others for the cells that it took over from the
    file before, which keep their makers."""
    now, staged = ledger.now(), part.staged
    attempts = 1 + max(
        (
            cell.attempts
            for cell in stale
            if (cell.fragment, cell.column, cell.reason) == (staged.fragment, staged.column, "failed")
        ),
        default=0,
    )
    offsets = staged.offsets
    if offsets is not None and len(offsets) == staged.physical_rows:
        offsets = None
    counts = by_state(staged.states if offsets is None else staged.states[offsets])
    new = Intent(
        column=staged.column,
        batch=batch,
        fragment=staged.fragment,
        planned_file=staged.name,
        file_sha256=staged.sha256,
        base=staged.base,
        offsets=offsets,
        scorer=identity.scorer,
        version=identity.version,
        config_hash=identity.config_hash,
        fields=identity.fields,
        input_digest=part.digest,
        **counts,
        attempts=attempts,
        due=retry_at(now, attempts) if counts["rows_failed_transient"] else None,
        read_version=staged.read_version,
        run_id=run_id,
        started=part.started,
        planned=now,
    )
    if offsets is None or staged.base is None:
        return [new]
    kept = [
        old.moved(
            staged.states,
            np.setdiff1d(old.covered(staged.physical_rows), offsets),
            planned_file=staged.name,
            file_sha256=staged.sha256,
            base=staged.base,
            fragment=staged.fragment,
            carried_from=staged.base,
        )
        for old in known.get((staged.column, staged.base), ())
    ]
    return [new, *(replace(old, batch=batch) for old in kept if old.rows)]
