"""`lance-assets bench ingest`: images a second and CPU time an image against img2dataset, from the same server, with
the same number of threads, each image decoded for validation, stored as it came and hashed by both."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from lance_assets_tests.bench.img2dataset import Img2dataset
from lance_assets_tests.bench.ingest_clients import Client, Cost, Turn, one_turn
from lance_assets_tests.bench.ingest_ours import Ours
from lance_assets_tests.bench.ingest_server import Web, web
from lance_assets_tests.bench.report import Goal, Report, Value
from lance_assets_tests.bench.sizes import Say

#: The issue asks for 1.5 times the images per CPU second; a goal is met from below, so it is the inverse that is shown.
BOUND = 1 / 1.5
THREADS = 16
TITLE = f"""Medians of turns in alternation; {THREADS} threads on each side, one try for a URL, 5 % of which are faults.
CPU is that of all processes of a client. Both times are without those of a run with a single image; on Ray, of a batch
that a running cluster stores after another one. `start`: until the first request (on Ray: until that batch). `idle`:
what Ray's own processes would have used in that time with nothing to do. `less cpu`: img2dataset's over this one's, the
median of the turns, since a machine's speed changes from one to the next."""


@dataclass(frozen=True)
class Load:
    """So many images from a server that waits so many milliseconds before each answer."""

    name: str
    images: int
    latency_ms: int


#: So many that a start, which differs by half a second of CPU, does not decide; a shard of img2dataset's has 10,000.
FULL = (Load("no latency", 10_000, 0), Load("100 ms latency", 5000, 100)), 3
QUICK = (Load("no latency", 300, 0), Load("100 ms latency", 100, 100)), 1


PEERS, OURS = (Img2dataset(),), (Ours("task"), Ours("ray"))


def run(quick: bool, say: Say, peers: Sequence[Client] = PEERS, ours: Sequence[Client] = OURS) -> Report:
    """Installs img2dataset first where it is missing. The first of `ours` is held against the first of `peers`, unless
    quick: then there is more noise than difference. Raises BadInput."""
    clients = [*peers, *ours]
    for client in clients:
        client.prepare(say)
    loads, turns = QUICK if quick else FULL
    with web() as server:
        found = {load: _in_turns(server, load, clients, turns, say) for load in loads}
    single = {client.name: _single([turn for load in loads for turn in found[load][client.name]]) for client in clients}
    rows: list[dict[str, Value]] = []
    goals: list[Goal] = []
    for load in loads:
        costs = {name: [_cost([turn], single[name]) for turn in some] for name, some in found[load].items()}
        theirs = costs[peers[0].name] if peers and not quick else None
        for name, some in found[load].items():
            less = None if theirs is None else _ratio(theirs, costs[name])
            rows.append(_row(name, load, _cost(some, single[name]), some, less))
        if theirs is not None:
            goal = f"cpu_per_image_over_{peers[0].name}_{load.name.replace(' ', '_')}"
            goals.append(Goal(goal, 1 / _ratio(theirs, costs[ours[0].name]), BOUND))
    lost = sum(turn.lost for load in loads for client in ours for turn in found[load][client.name])
    goals.append(Goal("images_lost", lost, 0))
    return Report(f"{'QUICK, too few images to compare. ' if quick else ''}{TITLE}", rows, goals)


def _in_turns(server: Web, load: Load, clients: Sequence[Client], turns: int, say: Say) -> dict[str, list[Turn]]:
    """Turns of every client, by its name."""
    found: dict[str, list[Turn]] = {client.name: [] for client in clients}
    for number in range(turns):
        for client in clients:
            turn = one_turn(client, server, load.images, load.latency_ms, THREADS)
            found[client.name].append(turn)
            what = f"{load.name}, turn {number + 1} of {turns}, {client.name}"
            cost = _cost([turn], turn.single)
            say(f"{what}: {1 / cost.wall_s:.0f} images/s, {cost.cpu_s * 1000:.2f} CPU ms/image, {turn.lost} lost")
    return found


def _single(turns: Sequence[Turn]) -> Cost:
    """What a client takes for one image; the load does not matter."""
    singles = [turn.single for turn in turns]
    return Cost(statistics.median(one.wall_s for one in singles), statistics.median(one.cpu_s for one in singles))


def _cost(turns: Sequence[Turn], single: Cost) -> Cost:
    """Of one image that is stored. Never 0: of a handful of images the start is nearly all."""
    wall, cpu = (
        statistics.median(turn.whole.wall_s for turn in turns),
        statistics.median(turn.whole.cpu_s for turn in turns),
    )
    images = turns[0].images
    return Cost(max(1e-6, (wall - single.wall_s) / images), max(1e-6, (cpu - single.cpu_s) / images))


def _ratio(costs: Sequence[Cost], others: Sequence[Cost]) -> float:
    """Of the CPU time of an image, turn by turn."""
    return statistics.median(one.cpu_s / other.cpu_s for one, other in zip(costs, others, strict=True))


def _row(name: str, load: Load, cost: Cost, turns: Sequence[Turn], less_cpu: float | None) -> dict[str, Value]:
    idle = [turn.idle_cpu_s / turn.images for turn in turns if turn.idle_cpu_s is not None]
    return {
        "what": name,
        "case": f"{load.images:,} URLs, {load.name}",
        "images_per_second": round(1 / cost.wall_s, 1),
        "cpu_per_image_s": cost.cpu_s,
        "idle_cpu_per_image_s": statistics.median(idle) if idle else None,
        "less_cpu": less_cpu and round(less_cpu, 2),
        "start_s": statistics.median(turn.start.wall_s for turn in turns),
        "start_cpu_s": statistics.median(turn.start.cpu_s for turn in turns),
        "peak_bytes": statistics.median(turn.peak_bytes for turn in turns),
        "connections": turns[-1].connections,
        "asked_again": sum(turn.again for turn in turns),
        "lost": sum(turn.lost for turn in turns),
    }
