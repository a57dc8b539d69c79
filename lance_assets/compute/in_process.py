"""Fragments scored one after the other in this process: no cluster to start, for small tables, tests and benchmarks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from lance_assets.compute.fragment import Tools, by_column, score_fragment, wanted
from lance_assets.scoring.api import Scorer
from lance_assets.store.files import DataRoot
from lance_assets.store.intents import Part
from lance_assets.store.labelling import Job, RunJobs


def in_process(root: DataRoot, scorers: Mapping[str, Scorer], tools: Tools) -> RunJobs:
    """A Runner. A fragment that fails costs only itself."""

    def run(version: int, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Part] | Exception]]:
        for job in jobs:
            try:
                done = score_fragment(root, version, job, wanted(job, scorers), tools)
            except Exception as error:  # raised again per column, after the good fragments are published
                yield job, error
            else:
                yield from by_column(job, done)

    return run
