"""`lance-assets bench audit`: how long each answer of `lance-assets audit` takes on a table of a million rows."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lance_assets.audit.card import data_card
from lance_assets.audit.checkpoint import Checkpoint, audit_checkpoint
from lance_assets.audit.column import audit_column
from lance_assets.audit.row import audit_row
from lance_assets.audit.trained import Trained
from lance_assets.audit.version import audit_version
from lance_assets.audit.why import audit_why
from lance_assets.preview.card import html
from lance_assets.store.table import session
from lance_assets.training.artifacts import read_artifacts
from lance_assets_tests.bench.audit_home import FILTERS, Made, Shape, make
from lance_assets_tests.bench.report import Goal, Report, Value
from lance_assets_tests.bench.simulated import COLUMNS, batch_key
from lance_assets_tests.bench.sizes import Say

TITLE = "Medians of 5. query: nothing of the table was opened before; command: with the start of Python."
FULL, QUICK = Shape(100, 4, 2500, 8), Shape(10, 4, 50, 8)
CHECKPOINTS, TURNS = 4, 5
#: Seconds that an issue allows.
QUERY_S, COMMAND_S = 1.0, 2.5
#: Prints which heavy packages an audit imported, after what it says.
COMMAND = """
import json, sys
from lance_assets.cli.main import main
code = main(sys.argv[1:])
heavy = sorted({"dagster", "ray", "torch", "transformers", "modelscope", "datasets"} & set(sys.modules))
print(json.dumps({"code": code, "heavy": heavy}))
"""


@dataclass(frozen=True)
class Question:
    """A command line, and what it asks of the rooms. The card has no goal: it counts the whole table."""

    name: str
    command: Sequence[str]
    ask: Callable[[], object]
    goal: bool = True


def run(quick: bool, say: Say) -> Report:
    """Builds its table in a temporary folder (TMPDIR says where), asks and deletes it."""
    shape = QUICK if quick else FULL
    with tempfile.TemporaryDirectory(prefix="lance-assets-bench-") as folder:
        started = time.perf_counter()
        made = make(Path(folder) / "home", shape, CHECKPOINTS)
        say(f"a table of {shape.total:,} rows x {shape.columns} columns: made in {time.perf_counter() - started:.1f} s")
        rows: list[dict[str, Value]] = []
        goals: list[Goal] = []
        heavy: set[str] = set()
        for question in _questions(made, shape):
            turns = TURNS if question.goal else 1
            queries = [_query(question) for _ in range(turns)]
            commands = [_command(question, made, heavy) for _ in range(turns)]
            query, command = statistics.median(queries), statistics.median(seconds for seconds, _ in commands)
            say(f"{question.name}: {query:.2f} s, as a command {command:.2f} s")
            figures = {
                "query_s": query,
                "longest_query_s": max(queries),
                "command_s": command,
                "longest_command_s": max(seconds for seconds, _ in commands),
                "command_cpu_s": statistics.median(cpu for _, cpu in commands),
            }
            rows.append({"what": question.name, "case": f"{shape.total:,} rows x {shape.columns}", **figures})
            if question.goal:
                name = question.name.replace(" --", "_").replace(" ", "_")
                goals += [
                    Goal(f"{name}_query_seconds", query, QUERY_S),
                    Goal(f"{name}_command_seconds", command, COMMAND_S),
                ]
    goals.append(Goal("audit_heavy_packages_imported", len(heavy), 0))
    return Report(f"{'QUICK, a smaller table than the goals are for. ' if quick else ''}{TITLE}", rows, goals)


def _questions(made: Made, shape: Shape) -> list[Question]:
    root, checkpoint = made.root, made.checkpoints[0]
    id = f"{batch_key(shape.batches // 2)}/{shape.rows}"
    trained = [Trained(str(path), read_artifacts(path).manifest) for path in made.checkpoints]

    def why() -> object:
        return audit_why(root, audit_row(root, id, trained), FILTERS[0], 0.1, None, [])

    def one_checkpoint() -> object:
        beside = read_artifacts(checkpoint)
        return audit_checkpoint(root, Checkpoint(**{**vars(beside), "path": str(beside.path)}))

    versions = (("that relabelled a batch", made.relabelled), ("that stored all rows", made.stored))
    return [
        Question("audit row", ("row", id), lambda: audit_row(root, id, trained)),
        Question("audit row --why", ("row", id, "--why"), why),
        Question("audit column", ("column", COLUMNS[0]), lambda: audit_column(root, COLUMNS[0])),
        *(
            Question(f"audit version {name}", ("version", str(n)), lambda n=n: audit_version(root, n))
            for name, n in versions
        ),
        Question("audit checkpoint", ("checkpoint", str(checkpoint)), one_checkpoint),
        Question("audit card", ("card", "--html"), lambda: html(data_card(root)), goal=False),
    ]


def _query(question: Question) -> float:
    session.cache_clear()  # as a new process, which has opened nothing
    started = time.perf_counter()
    question.ask()
    return time.perf_counter() - started


def _command(question: Question, made: Made, heavy: set[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a process of its own; notes what it imported. Raises RuntimeError where it failed."""
    command = [sys.executable, "-c", COMMAND, "audit", *question.command, "--home", str(made.home)]
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds, after = time.perf_counter() - started, os.times()
    if done.returncode or json.loads(done.stdout.splitlines()[-1])["code"]:
        raise RuntimeError(f"audit {' '.join(question.command)}: {done.stderr or done.stdout}")
    heavy.update(json.loads(done.stdout.splitlines()[-1])["heavy"])
    cpu = after.children_user - before.children_user + after.children_system - before.children_system
    return seconds, cpu
