"""One labelling pass as production runs it, but in this process and with a scorer that costs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lance_assets.compute.fragment import Tools, by_column, score_fragment
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.passes import Scored
from lance_assets.store.columns import column_of
from lance_assets.store.files import DataRoot
from lance_assets.store.intents import Part
from lance_assets.store.labelling import Job, label_batch
from lance_assets.store.staleness import Identity
from lance_assets_tests.bench.simulated import Dark, Light, Settings


@dataclass
class Pass:
    """Labels batches; `calls` counts the rows that scorers were asked for. Another `turn` makes every cell stale."""

    root: DataRoot
    turn: int = 0
    calls: int = 0

    def __call__(self, batch: str) -> None:
        """Both columns of a batch. Raises what went wrong."""
        scorers = {one.name: one for one in (Light(Settings(turn=self.turn)), Dark(Settings(turn=self.turn)))}
        identities = [
            Identity(column_of(one.name), one.name, one.version, one.config_hash(), one.inputs)
            for one in scorers.values()
        ]

        def run(version: int, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Part] | Exception]]:
            for job in jobs:
                wanted = {name: one for name, one in scorers.items() if column_of(name) in job.columns}
                yield from by_column(job, score_fragment(self.root, version, job, wanted, Tools(call=self.score)))

        for outcome in label_batch(self.root, batch, identities, f"turn {self.turn}", run):
            if outcome.error is not None:
                raise outcome.error

    def score(self, scorers: Mapping[str, Scorer], rows: pa.Table) -> dict[str, Scored]:
        """A ScoreCall that looks at nothing and gives values that do not compress."""
        self.calls += rows.num_rows * len(scorers)
        states = np.zeros(rows.num_rows, np.uint8)
        values = np.random.default_rng(self.calls).uniform(0, 100, (len(scorers), rows.num_rows)).astype(np.float32)
        return {name: Scored(pa.array(mine), states) for name, mine in zip(scorers, values, strict=True)}
