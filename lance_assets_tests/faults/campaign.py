"""The kill campaign: each step of a seeded script is killed at seeded points and done again until it completes, and
the root then equals an undisturbed twin.

A kill point is the n-th call of the store's own functions and up to 5 ms more, so that kills also land inside Lance's
own code. It is drawn from the calls that the twin made: first the function, then one of its calls, so that what happens
once is hit as often as what happens at every turn; more often than not, one right before or after Lance writes. All is
drawn from the seed: the same seed is the same campaign.
"""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from lance_assets.store.cleanup import cleanup
from lance_assets.store.files import DataRoot
from lance_assets.store.table import exists, open_images
from lance_assets_tests.faults.compare import compare, rows
from lance_assets_tests.faults.script import Step, script
from lance_assets_tests.faults.steps import identities, perform
from lance_assets_tests.faults.trace import SIZE, Trace
from lance_assets_tests.faults.worker import Order

Say = Callable[[str], None]

#: How often a step is killed at the first try, the second, ...; the last one is left alone.
ODDS = (0.95, 0.6, 0.5, 0.4)
DELAY_S = 0.005
#: So many kills are next to a write: a commit that is not the only one of its step leaves a gap there.
WRITES_SHARE = 0.6
#: A step takes a second; on an object store it waits for the lease of the one that was killed.
PATIENCE_S = 120


class Broken(Exception):
    """A promise was broken. The message says which."""


@dataclass
class Report:
    """`failures` are the seeds of scripts that broke a promise, with the command that plays each again."""

    seed: int
    kills: int = 0
    scripts: int = 0
    steps: int = 0
    by_operation: Counter[str] = field(default_factory=Counter)
    by_place: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    duplicated: int = 0
    unexplained: int = 0
    redone: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    failures: list[dict[str, str | int]] = field(default_factory=list)


def campaign(kills: int, seed: int, base: DataRoot, scratch: Path, say: Say) -> Report:
    """Plays scripts of the seeds `seed`, `seed` + 1, ... until so many processes were killed. A script that broke a
    promise is left where it stands."""
    report, started = Report(seed), time.monotonic()
    while report.kills < kills:
        number, before = seed + report.scripts, report.kills
        play = Play(number, kills - before, base, scratch, report)
        report.scripts += 1
        try:
            play.run()
            say(f"seed {number}: {report.kills - before} kills, the table equals its twin ({report.kills}/{kills})")
        except Broken as broken:
            again = f"python -m lance_assets_tests.faults --seed {number} --kills {report.kills - before}"
            report.failures.append({"seed": number, "problem": str(broken), "replay": again})
            say(f"seed {number}: {broken}\n  again: {again}")
        report.seconds = time.monotonic() - started
    return report


def point(dice: random.Random, trace: Trace) -> tuple[str, int]:
    """A kill point of a step that went like this: what is near it, and the number of the call, from 1."""
    if trace.writes and dice.random() < WRITES_SHARE:
        name = dice.choice(sorted(trace.writes))
        return f"write {name}", max(1, dice.choice(trace.writes[name]) + dice.randint(0, 1))
    name = dice.choice(sorted(set(trace.calls)))
    return name, dice.choice([number for number, called in enumerate(trace.calls, 1) if called == name])


class Play:
    """One script on two roots, one of which is killed at."""

    def __init__(self, seed: int, kills: int, base: DataRoot, scratch: Path, report: Report) -> None:
        self.seed, self.kills, self.report = seed, kills, report
        name = f"{seed}-{uuid.uuid4().hex[:8]}"
        self.root, self.twin = DataRoot(base.at(f"{name}-killed")), DataRoot(base.at(f"{name}-twin"))
        self.work, self.place = scratch / f"{name}.work", scratch / f"{name}.place"
        self.work.touch()
        self.asked: dict[str, str] = {}

    def run(self) -> None:
        """Raises Broken."""
        for number, step in enumerate(script(self.seed)):
            trace, work = self._undisturbed(step)
            done, kills = len(self._worked()), self._killed(number, step, trace)
            self._compare(f"step {number}, {step}", step)
            extra = Counter(self._worked()[done:]) - Counter(work)
            self.report.redone += extra
            if extra.total() > kills:
                raise Broken(f"step {number}, {step}: {kills} kills, and done again: {dict(extra)}")
            self.report.steps += 1
            if not self.kills:
                return

    def _undisturbed(self, step: Step) -> tuple[Trace, list[str]]:
        """Does the step to the twin: what it called, and what it worked on."""
        work: list[str] = []
        with Trace() as trace:
            perform(self.twin, step, work.append)
        return trace, work

    def _killed(self, number: int, step: Step, trace: Trace) -> int:
        """Does the step until it completes; how often it was killed."""
        kills = 0
        for attempt in range(len(ODDS) + 1):
            dice = random.Random(f"{self.seed}/{number}/{attempt}")
            wanted = attempt < len(ODDS) and self.kills > 0 and dice.random() < ODDS[attempt]
            name, at = point(dice, trace)
            delay, clean = dice.uniform(0, DELAY_S), dice.random() < 0.25
            if not self._worker(number, step, at if wanted else 0, delay):
                return kills
            kills, self.kills = kills + 1, self.kills - 1
            self._after_kill(f"step {number}, {step}, killed at call {at} of {len(trace.calls)} ({name})", clean)
        raise AssertionError("the last try is not killed")

    def _worker(self, number: int, step: Step, at: int, delay: float) -> bool:
        """Runs the step in a process of its own; True where it was killed. Raises Broken where it failed."""
        ours, theirs = os.pipe()
        order = Order(self.root.uri, step, str(self.work), str(self.place), at, theirs)
        command = [sys.executable, "-m", "lance_assets_tests.faults.worker", order.to_json()]
        with subprocess.Popen(command, pass_fds=[theirs], stderr=subprocess.PIPE, text=True) as child:
            os.close(theirs)
            with os.fdopen(ours, "rb") as pipe:  # says one byte, or ends with the child
                ready, _, _ = select.select([pipe], [], [], PATIENCE_S)
                if ready and pipe.read(1):
                    time.sleep(delay)
                    child.kill()
            try:
                _, said = child.communicate(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                child.kill()
                raise Broken(f"step {number}, {step}: did not end in {PATIENCE_S} s, at {self._place()}") from None
        if child.returncode == 0:
            return False
        if not at or child.returncode > 0:
            last = [f"exit code {child.returncode}", *said.splitlines()][-1]
            raise Broken(f"step {number}, {step}: {last}, at {self._place()}")
        self.report.kills += 1
        self.report.by_operation[step.kind] += 1
        self.report.by_place[self._place()] += 1
        return True

    def _after_kill(self, where: str, clean: bool) -> None:
        """A table that was killed at is readable as it stands, and cleaning it up costs the rerun nothing."""
        if not exists(self.root):
            return
        if clean:
            cleanup(self.root, older_than=timedelta(days=7))
        try:
            ids = [row["id"] for row in rows(open_images(self.root))]
        except (OSError, ValueError) as error:
            raise Broken(f"{where}: the table cannot be read: {error}") from error
        if len(ids) != len(set(ids)):
            self.report.duplicated += len(ids) - len(set(ids))
            raise Broken(f"{where}: {len(ids) - len(set(ids))} rows are there twice")

    def _compare(self, where: str, step: Step) -> None:
        self.asked |= step.scorers
        found = compare(self.root, self.twin, identities(Step("label", scorers=self.asked)))
        self.report.lost += len(found.lost)
        self.report.duplicated += len(found.duplicated)
        self.report.unexplained += len(found.unexplained)
        if found:
            raise Broken(f"{where}: {found}")

    def _worked(self) -> list[str]:
        return self.work.read_text().splitlines()

    def _place(self) -> str:
        return self.place.read_bytes()[:SIZE].decode().strip("\0 ") if self.place.exists() else "before the first call"
