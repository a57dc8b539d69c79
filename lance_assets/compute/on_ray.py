"""Fragments scored as Ray tasks. What travels back are file names, counts and states; images never do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import ray

from lance_assets.compute.fragment import Fragment, Tools, by_column, score_fragment, wanted
from lance_assets.compute.isolation import ended_the_process, score_isolated
from lance_assets.scoring.api import Scorer
from lance_assets.store.files import DataRoot
from lance_assets.store.intents import Part
from lance_assets.store.labelling import Job, RunJobs


def on_ray(root: DataRoot, scorers: Mapping[str, Scorer], tools: Tools) -> RunJobs:
    """One Ray task per stale fragment, all columns that are stale there in one pass; results as they come. A failing
    fragment, or a scorer that fails as a whole, never throws the others away.

    A fragment on which the process of the task ends (a decoder that crashes, no memory) is scored once more, each piece
    in a process apart, until the row that does it is alone.
    """

    def run(version: int, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Part] | Exception]]:
        tasks = {_score_fragment.remote(root, version, job, wanted(job, scorers), tools): job for job in jobs}
        careful: set[ray.ObjectRef] = set()
        waiting = list(tasks)
        while waiting:
            [task], waiting = ray.wait(waiting, num_returns=1)
            job = tasks[task]
            try:
                yield from by_column(job, ray.get(task))
            except Exception as error:  # raised again per column, after the good fragments are published
                if ended_the_process(error) and task not in careful:
                    again = _score_carefully.remote(root, version, job, wanted(job, scorers), tools)
                    tasks[again] = job
                    careful.add(again)
                    waiting.append(again)
                else:
                    yield job, error

    return run


def _score_apart(root: DataRoot, version: int, job: Job, scorers: Mapping[str, Scorer], tools: Tools) -> Fragment:
    return score_fragment(root, version, job, scorers, replace(tools, call=score_isolated))


_score_fragment = ray.remote(num_cpus=1, max_retries=2)(score_fragment)
_score_carefully = ray.remote(num_cpus=1, max_retries=2)(_score_apart)
