"""Fragments scored one after the other in this process: no cluster to start, for small tables, tests and benchmarks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from lance_assets.compute.fragment import Fragment, Tools, by_column, score_fragment, wanted
from lance_assets.scoring.api import Scorer
from lance_assets.store.files import DataRoot
from lance_assets.store.intents import Part
from lance_assets.store.labelling import Job, RunJobs


def in_process(root: DataRoot, scorers: Mapping[str, Scorer], tools: Tools) -> RunJobs:
    """A Runner. A fragment that fails costs only itself. Scorers are called in one thread, which goes on with the next
    fragment while the caller writes down what became of the last one: a kill may cost two."""

    def run(version: int, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Part] | Exception]]:
        with ThreadPoolExecutor(1) as thread:
            done: tuple[Job, Future[Fragment]] | None = None
            for job in jobs:
                now = thread.submit(score_fragment, root, version, job, wanted(job, scorers), tools)
                if done is not None:
                    yield from _told(*done)
                done = job, now
            if done is not None:
                yield from _told(*done)

    return run


def _told(job: Job, scored: Future[Fragment]) -> Iterator[tuple[Job, list[Part] | Exception]]:
    try:
        done = scored.result()
    except Exception as error:  # raised again per column, after the good fragments are published
        yield job, error
    else:
        yield from by_column(job, done)
