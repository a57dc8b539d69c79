"""Rows scored in processes apart, so that one that ends its process (a decoder that crashes, no memory) costs only
itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import ray
from ray.exceptions import OutOfMemoryError, WorkerCrashedError

from lance_assets.compute.fragment import score_locally
from lance_assets.errors import in_one_line
from lance_assets.scoring.api import Scorer, State
from lance_assets.scoring.passes import Scored, joined

CRASHES = (WorkerCrashedError, OutOfMemoryError)
#: For one scorer and one chunk of rows: enough to isolate two or three rows of a thousand.
CRASHES_ALLOWED = 32


def ended_the_process(error: Exception) -> bool:
    """Whether a task ended with its process, and not by something that it raised."""
    return isinstance(error, CRASHES)


class ScorerCrashes(RuntimeError):
    """A scorer ends its process on too many rows: that is a fault of the scorer, not of the rows."""


def score_isolated(scorers: Mapping[str, Scorer], rows: pa.Table) -> dict[str, Scored]:
    """A ScoreCall. Each scorer by itself, rows halved until those on which its process ends are alone; they fail for
    good. Raises ScorerCrashes where processes end more than CRASHES_ALLOWED times."""
    return {name: _Isolated(scorer).score(rows) for name, scorer in scorers.items()}


_score = ray.remote(num_cpus=1, max_retries=0)(score_locally)


@dataclass
class _Isolated:
    scorer: Scorer
    crashes: int = 0

    def score(self, rows: pa.Table) -> Scored:
        name = self.scorer.name
        try:
            return ray.get(_score.remote({name: self.scorer}, rows))[name]
        except CRASHES as error:
            self.crashes += 1
            if self.crashes > CRASHES_ALLOWED:
                raise ScorerCrashes(
                    f"{name} ended its process {self.crashes} times: {in_one_line(str(error))}"
                ) from error
            if rows.num_rows == 1:
                why = f"the process that scored it ended: {type(error).__name__}"
                return Scored(pa.nulls(1, self.scorer.type), np.array([State.FAILED_PERMANENT], np.uint8), {0: why})
        half = rows.num_rows // 2
        return joined(self.scorer, [self.score(rows.slice(0, half)), self.score(rows.slice(half))])
