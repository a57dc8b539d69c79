"""A process that holds a scorer with its model, loaded once and shared by all label tasks of all runs."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from ray import serve

from lance_assets.compute.fragment import loaded, rows_of
from lance_assets.scoring.api import Scorer, Served
from lance_assets.scoring.passes import Scored, joined, score_items

#: A replica whose scorer has not come back for so long is replaced.
STUCK_SECONDS = 600.0
#: Requests that are scored together when they came at the same time.
TOGETHER = 8


class Replica:
    """Scores rows of one or more calls at a time, `served.batch_rows` of them at most, in a thread, so that health
    checks are answered meanwhile."""

    def __init__(self, scorer: Scorer, models: Path) -> None:
        listen_on_loopback_only()
        self.scorer = loaded(scorer, models)
        self._rows = (scorer.served or Served()).batch_rows
        self._busy_since: float | None = None

    async def score(self, rows: pa.Table) -> Scored:
        """One call."""
        return await self._together(rows)

    def check_health(self) -> None:
        """Asked by Ray Serve. Raises TimeoutError where the scorer hangs: a new replica takes this one's place."""
        since = self._busy_since
        if since is not None and time.monotonic() - since > STUCK_SECONDS:
            raise TimeoutError(f"the scorer {self.scorer.name} has not come back for {STUCK_SECONDS:.0f} s")

    @serve.batch(max_batch_size=TOGETHER, batch_wait_timeout_s=0.005)
    async def _together(self, calls: list[pa.Table]) -> list[Scored]:
        return await asyncio.to_thread(self._scored, calls)

    def _scored(self, calls: list[pa.Table]) -> list[Scored]:
        rows = pa.concat_tables(calls)
        parts = []
        try:
            for start in range(0, rows.num_rows, self._rows):
                self._busy_since = time.monotonic()
                some = rows_of(rows.slice(start, self._rows))
                parts.append(score_items({self.scorer.name: self.scorer}, some)[self.scorer.name])
        finally:
            self._busy_since = None
        return cut(joined(self.scorer, parts), [call.num_rows for call in calls])


def cut(scored: Scored, lengths: list[int]) -> list[Scored]:
    """A column in pieces of these lengths."""
    ends = np.cumsum([0, *lengths]).tolist()
    return [
        Scored(
            scored.values.slice(start, end - start),
            scored.states[start:end],
            {at - start: why for at, why in scored.messages.items() if start <= at < end},
        )
        for start, end in pairwise(ends)
    ]


def listen_on_loopback_only() -> None:
    """Ray Serve 2.55 opens a replica's gRPC port on every interface and has no switch for it (ray/serve/_private/
    replica.py adds the port "[::]:0"). Runs in the replica's own process, before that port is opened."""
    from grpc.aio._server import Server

    plain = Server.add_insecure_port

    def on_loopback(self: Server, address: str) -> int:
        return plain(self, address.replace("[::]:", "127.0.0.1:"))

    Server.add_insecure_port = on_loopback
