"""Time that jumps, and a holder that sleeps through its lease."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from lance_assets.store.cleanup import cleanup
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import DATA, Used
from lance_assets.store.labelling import label_batch
from lance_assets.store.staging import StagedFileGone
from lance_assets.store.verify import verify
from lance_assets_tests.faults.compare import compare
from lance_assets_tests.faults.steps import identities, perform
from lance_assets_tests.faults.stored import BATCH, BEFORE, LABEL, done
from lance_assets_tests.labels import Labeller

DAYS_10 = 10 * 24 * 3600.0


def age(root: DataRoot, seconds: float) -> None:
    """Makes the files older that no version refers to."""
    used = Used(root).now()
    for path in (root.folder / DATA).iterdir():
        if path.name not in used:
            os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_a_staged_file_that_a_jumped_clock_made_old_is_missed_and_scored_again(tmp_path):
    root = done(DataRoot(tmp_path / "data"), BEFORE[0])
    asked = identities(LABEL)
    labeller = Labeller(root)

    def jump(column: str, parts: object) -> None:
        age(root, DAYS_10)
        cleanup(root, older_than=timedelta(0))

    outcomes = label_batch(root, BATCH, asked, "run", labeller.jobs(asked), accept=jump)
    assert [type(outcome.error) for outcome in outcomes] == [StagedFileGone]
    assert verify(root, deep=True).clean
    done(root, LABEL)
    assert not compare(root, done(DataRoot(tmp_path / "twin"), *BEFORE), asked)


def test_an_announced_image_file_that_a_jumped_clock_made_old_is_written_again(tmp_path):
    root = DataRoot(tmp_path / "data")
    work: list[str] = []

    def die(what: str) -> None:
        work.append(what)
        if len(work) == 2:
            raise KeyboardInterrupt

    try:
        perform(root, BEFORE[0], die)
    except KeyboardInterrupt:
        age(root, DAYS_10)
        cleanup(root, older_than=timedelta(0))
    done(root, *BEFORE)
    assert not compare(root, done(DataRoot(tmp_path / "twin"), *BEFORE), identities(LABEL))


def test_a_labeller_that_slept_through_its_lease_publishes_nothing(s3, tmp_path):
    root, work = done(DataRoot(f"{s3.uri}/slept"), BEFORE[0]), tmp_path / "work"
    order = {"root": root.uri, "steps": [asdict(LABEL)], "work": str(work)}
    command = [sys.executable, "-m", "lance_assets_tests.faults.crowd", json.dumps(order)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
            _wait_for(work)
            child.send_signal(signal.SIGSTOP)  # it has scored, or will soon, and has published nothing
            done(root, LABEL)
            child.send_signal(signal.SIGCONT)
            outcomes = json.loads(child.communicate(timeout=60)[0].splitlines()[-1])
        finally:
            child.kill()
    assert outcomes in (["LostClaim", "done"], ["Superseded", "done"])
    assert not compare(root, done(DataRoot(tmp_path / "twin"), *BEFORE), identities(LABEL))


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
