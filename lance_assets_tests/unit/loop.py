"""The daemon's loop without a daemon: planner, queue, labelling in this process, real tables, a clock that we turn.

Beside it runs a model of which cells are stale that knows nothing of ledgers and files.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from lance_assets.automation.relabel import Column, Plan, plan
from lance_assets.automation.requests import Attempts, Flight, Limits, Request, Tried
from lance_assets.compute.fragment import Tools
from lance_assets.compute.in_process import in_process
from lance_assets.compute.label import identity_of, label
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.registry import in_the_pass, reads
from lance_assets.store import ledger
from lance_assets.store.backlog import Backlog, backlog
from lance_assets.store.columns import CellState, column_of
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import fragment_at
from lance_assets.store.staleness import stale_cells
from lance_assets.store.table import exists, open_images
from lance_assets.tags import MADE_TAG
from lance_assets_tests.scorers import Counted, Plus, joined
from lance_assets_tests.unit.store import scenes
from lance_assets_tests.unit.store.scenes import Row

LIMITS = Limits(runs=3, batches=2)
Cell = tuple[str, str]


@dataclass
class Loop:
    """`stale`: cells (scorer, row id) that want a score; `became` and `scored` count how often each did and got one;
    `failed` is when it failed in passing last. `broken` are scorers that fail on every row, `flaky` the share of rows
    that the others fail on in passing."""

    root: DataRoot
    random: np.random.Generator
    clock: datetime = field(default_factory=ledger.now)
    order: list[str] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=lambda: {"counted": 1, "other": 1})
    broken: set[str] = field(default_factory=set)
    flaky: float = 0.0
    paused: set[str] = field(default_factory=set)
    queue: list[Request] = field(default_factory=list)
    over: list[Tried] = field(default_factory=list)
    stale: set[Cell] = field(default_factory=set)
    failed: dict[Cell, datetime] = field(default_factory=dict)
    became: Counter[Cell] = field(default_factory=Counter)
    scored: Counter[Cell] = field(default_factory=Counter)

    def scorers(self) -> dict[str, Scorer]:
        """As the platform has them now: two light ones and one that reads the first."""
        made = {name: Counted(name, str(version)) for name, version in self.versions.items()}
        return joined(*made.values(), Plus())

    # What happens to the platform.

    def append(self) -> None:
        batch = f"b{len(self.order)}"
        self.order.append(batch)
        if self.random.random() < 0.9:  # else its images are missing, for now
            self.store(batch, [Row(number) for number in range(int(self.random.integers(1, 6)))])

    def replace(self) -> None:
        """Rows get another picture; a batch without images gets them."""
        batch = str(self.random.choice(self.order))
        rows = self.rows.get(batch) or [Row(number) for number in range(3)]
        self.store(batch, [Row(one.number, int(self.random.integers(1000, 2000))) for one in rows])

    def bump(self) -> None:
        name = str(self.random.choice(list(self.versions)))
        self.versions[name] += 1
        self._spoil(name, [self._id(batch, row) for batch, rows in self.rows.items() for row in rows])

    def store(self, batch: str, rows: list[Row]) -> None:
        if batch in [key for request in self.queue for key in self._batches(request)]:
            return  # a batch that is being labelled is claimed: its images come afterwards
        before = {row.number: row for row in self.rows.get(batch, [])}
        middle = int(self.random.integers(0, len(rows) + 1))
        scenes.store(self.root, batch, *[part for part in (rows[:middle], rows[middle:]) if part])
        self.rows[batch] = rows
        new = [self._id(batch, row) for row in rows if before.get(row.number) != row]
        for name in self.versions:
            self._spoil(name, new)

    # The loop.

    def tick(self) -> Plan:
        """What the sensor would ask for goes into the queue."""
        self.clock += timedelta(seconds=30)
        scorers = self.scorers()
        found = plan(
            self.found(),
            self.order,
            [
                Column(one.name, made(one), "light" if in_the_pass(one) else one.name, tuple(reads(one)))
                for one in scorers.values()
            ],
            self.paused,
            self.flight(),
            Attempts(self.over, 60),
            LIMITS,
            self.clock.timestamp(),
        )
        self.queue += found.requests
        return found

    def found(self) -> Backlog:
        if not exists(self.root):
            return Backlog()
        identities = [identity_of(one) for one in self.scorers().values()]
        return backlog(self.root, open_images(self.root), identities, self.clock)

    def flight(self) -> Flight:
        busy: dict[str, set[str]] = {}
        for request in self.queue:
            for asset in request.assets:
                busy.setdefault(asset, set()).update(self._batches(request))
        return Flight(busy, {"relabel": len(self.queue)})

    def work(self, killed: bool = False) -> None:
        """One run of the queue; `killed` = it dies after some of its batches."""
        if not self.queue:
            return
        request = self.queue.pop(int(self.random.integers(len(self.queue))))
        batches = self._batches(request)
        self.clock += timedelta(seconds=5)
        began = self.clock.timestamp()
        done = batches[: int(self.random.integers(len(batches) + 1))] if killed else batches
        for batch in done:
            self._label(batch, [asset.removeprefix("score/") for asset in request.assets])
        self.clock += timedelta(seconds=5)
        tags = json.loads(request.tags[MADE_TAG])
        self.over.append(Tried(request.assets, batches, tags, began, self.clock.timestamp()))

    def _label(self, batch: str, names: list[str]) -> None:
        everything = self.scorers()
        chosen = {name: everything[name] for name in names}
        ids = [self._id(batch, row) for row in self.rows[batch]]
        wanted = {name: self._due(batch, chosen[name]) for name in names}
        for name in self.versions.keys() & wanted.keys():
            stale = {id for id in ids if (name, id) in self.stale}
            assert wanted[name] <= stale, f"{name} of {batch}"
            for id in stale - wanted[name]:
                assert self.clock - self.failed[name, id] < timedelta(hours=1), f"{name} of {id} waits for ever"
        for scorer in chosen.values():
            if isinstance(scorer, Counted):
                unlucky = {id for id in ids if self.random.random() < self.flaky}
                # One row that fails for good is believed; then a column that reads it is tried once an hour for ever.
                broken = scorer.name in self.broken and len(wanted[scorer.name]) > 1
                error = ValueError("broken") if broken else None
                scorer.raises = lambda item, unlucky=unlucky, error=error: (
                    error or (MemoryError() if item.id in unlucky else None)
                )
        quiet = lambda line: None  # noqa: E731
        results = list(label(self.root, [batch], chosen, "run", quiet, Tools(), runner=in_process, due=self.clock))
        for result in results:
            scorer = chosen[result.scorer]
            if isinstance(scorer, Counted):
                assert {*scorer.calls} == wanted[scorer.name], f"{scorer.name} of {batch}: {result}"
                self._count(scorer.name, wanted[scorer.name])

    def _due(self, batch: str, scorer: Scorer) -> set[str]:
        """Stale rows but those that failed in passing and wait for their turn."""
        dataset, identity, found = open_images(self.root), identity_of(scorer), set[str]()
        if identity.column not in dataset.schema.names:
            return {self._id(batch, row) for row in self.rows[batch]}
        for cell in stale_cells(self.root, dataset, batch, [identity], due=self.clock):
            rows = dataset.scanner(columns=["id"], fragments=[fragment_at(dataset, cell.fragment)]).to_table()
            ids = rows["id"].to_numpy()
            found |= set(ids if cell.offsets is None else ids[cell.offsets])
        return found

    def _count(self, name: str, ids: set[str]) -> None:
        """Scored, and maybe stale again at once: the row failed in passing, or nothing was published, since all rows
        failed for good."""
        column = column_of(name)
        there = column in open_images(self.root).schema.names
        states = scenes.states(self.root, column) if there else {}
        for id in ids:
            self.scored[name, id] += 1
            again = (name in self.broken and len(ids) > 1) or states.get(id) == CellState.FAILED_TRANSIENT
            self.stale.discard((name, id))
            if states.get(id) == CellState.FAILED_TRANSIENT:
                self.failed[name, id] = self.clock
            if again:
                self._spoil(name, [id])

    def _spoil(self, name: str, ids: list[str]) -> None:
        for id in ids:
            if (name, id) not in self.stale:
                self.stale.add((name, id))
                self.became[name, id] += 1

    def _batches(self, request: Request) -> list[str]:
        assert request.ends is not None
        first, last = (self.order.index(end) for end in request.ends)
        return self.order[first : last + 1]

    @staticmethod
    def _id(batch: str, row: Row) -> str:
        return f"{batch}/{row.number}"


def made(scorer: Scorer) -> str:
    return f"{scorer.version} {scorer.config_hash()}"
