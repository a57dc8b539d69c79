"""`lance-assets bench label`: what one new score column costs this platform, a bare loop, and those who would do it
otherwise. The same images and the same function of them on each side, and the same scores, or the benchmark fails."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.fs as pafs
from numpy.typing import NDArray

from lance_assets_tests.bench.label_cases import FULL, QUICK, Case
from lance_assets_tests.bench.label_data import GUIDE, PLATFORM, SMALL, Images, build, linked
from lance_assets_tests.bench.label_goals import Costs, goals
from lance_assets_tests.bench.label_ray import Cluster, cluster
from lance_assets_tests.bench.label_task import Task, Variant, filesystem
from lance_assets_tests.bench.label_throttle import COUNTS, throttled
from lance_assets_tests.bench.label_turn import Turn, turn
from lance_assets_tests.bench.report import Report, Value
from lance_assets_tests.bench.sizes import Say
from lance_assets_tests.s3_server import environment, s3_server

#: Rows that every cluster labels before it is measured: four fragments.
WARM = Images(600, SMALL)
TITLE = """Medians of turns in alternation, each in a process of its own; the page cache is warm. Wall and CPU time, of
all processes of a variant, begin when it is up: `start` is what that took. Bytes are those of files, page cache or not;
with the object store those of its connections. `peak` counts shared pages once. The physical limit scores nothing."""


class OtherScores(RuntimeError):
    """A variant did not store what the others did."""


@dataclass
class Place:
    """Where a case lies: `source` a folder or URI; a folder is linked for each turn, a bucket is not."""

    source: str
    environment: Mapping[str, str] = field(default_factory=dict)


def run(quick: bool, say: Say, what: Sequence[Case] | None = None, ray: Cluster | None = None) -> Report:
    """Makes its images in a temporary folder (TMPDIR says where), measures and deletes them. `ray` is a cluster to join
    (None: one is started where somebody wants it). Raises OtherScores, and Failed where a variant fails."""
    chosen = what if what is not None else QUICK if quick else FULL
    costs: Costs = {}
    with tempfile.TemporaryDirectory(prefix="lance-assets-bench-") as name, ExitStack() as ending:
        folder = Path(name)
        warm = folder / "warm"
        if ray is None and any(variant.on_ray for case in chosen for variant in case.variants):
            ray = ending.enter_context(cluster(folder))
        build(WARM, warm)
        for number, case in enumerate(chosen):
            with _place(case, folder / f"case-{number}", say) as place:
                costs[case.name] = _measured(case, place, warm, folder, ray, say)
    rows: list[dict[str, Value]] = [
        {"what": variant, "case": _described(case), **asdict(cost)}
        for case in chosen
        for variant, cost in costs[case.name].items()
    ]
    return Report(f"{'QUICK, too few images to compare. ' if quick else ''}{TITLE}", rows, goals(costs))


def _described(case: Case) -> str:
    return f"{case.name}, {case.images.count:,} x {case.image_bytes // 1000} kB"


@contextmanager
def _place(case: Case, folder: Path, say: Say) -> Iterator[Place]:
    """The case's data, for as long as they are needed."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        build(case.images, Path(name) / "data", case.forms)
        say(f"{case.name}: {case.images.count:,} images of about {case.image_bytes // 1000} kB are made")
        if case.wire is None:
            yield Place(f"{name}/data")
            return
        with s3_server() as server, throttled(server.host, case.wire.latency_s, case.wire.bytes_per_s) as slow:
            bucket, path = filesystem(f"{server.uri}/bench")
            pafs.copy_files(f"{name}/data", path, destination_filesystem=bucket, use_threads=False)
            yield Place(f"{server.uri}/bench", {**environment(slow.host), COUNTS: slow.counts})


def _measured(case: Case, place: Place, warm: Path, folder: Path, ray: Cluster | None, say: Say) -> dict[str, Turn]:
    """What each variant cost, by its name."""
    found: dict[str, list[Turn]] = {variant.name: [] for variant in case.variants}
    wanted: NDArray[np.float32] | None = None
    for number in range(max(case.variants.values())):
        for variant, turns in case.variants.items():
            if number >= turns:
                continue
            with tempfile.TemporaryDirectory(dir=folder) as work:
                task = _task(case, place, warm, Path(work), ray if variant.on_ray else None)
                cost, scores = turn(variant, task, place.environment)
            found[variant.name].append(cost)
            wanted = scores if wanted is None else wanted
            _check(case, variant, scores, wanted)
            say(f"{case.name}, turn {number + 1}, {variant.name}: {cost.wall_s:.2f} s, {cost.cpu_s:.2f} CPU s")
    return {name: median(turns) for name, turns in found.items()}


def _task(case: Case, place: Place, warm: Path, work: Path, ray: Cluster | None) -> Task:
    """A column of a name of its own; a folder that the variant may change."""
    own = place.source
    if case.wire is None:
        own = f"{work}/data"
        for name in {PLATFORM, GUIDE} & case.forms:
            linked(Path(place.source) / name, Path(own) / name)
    column = f"bench_{work.name.lower().replace('-', '_')}"
    batches = case.images.batches()
    address, others = (ray.address, [ray.pid] if ray.pid else []) if ray else (None, [])
    return Task(case.scorer, column, batches, case.rows, place.source, own, str(warm), str(work), address, others)


def _check(
    case: Case, variant: Variant, scores: NDArray[np.float32] | None, wanted: NDArray[np.float32] | None
) -> None:
    if scores is None or wanted is None:
        return
    if len(scores) != case.images.count or not np.array_equal(scores, wanted):
        count = int((scores != wanted).sum()) if len(scores) == len(wanted) else abs(len(scores) - len(wanted))
        raise OtherScores(f"{case.name}: {variant.name} stored {count} other scores than the first variant")


def median(turns: Sequence[Turn]) -> Turn:
    """Figure by figure."""
    return Turn(**{name: statistics.median(asdict(one)[name] for one in turns) for name in asdict(turns[0])})
