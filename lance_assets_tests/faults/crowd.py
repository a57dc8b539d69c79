"""Many processes on one root at once: each does its steps and ends with outcomes that have a type.

`python -m lance_assets_tests.faults.crowd MEMBER` is one of them; it begins when its stdin says so.
"""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lance_assets.errors import BadInput, Unreachable
from lance_assets.store.claims import Busy, LostClaim
from lance_assets.store.columns import Superseded
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import FragmentGone
from lance_assets.store.staging import StagedFileGone
from lance_assets.store.table import GaveUp
from lance_assets_tests.faults.script import Step
from lance_assets_tests.faults.steps import logging_to, perform

#: What a step may end with besides "done"; whoever asked for it asks again.
TYPED = (Busy, LostClaim, Superseded, FragmentGone, StagedFileGone, GaveUp, BadInput, Unreachable)


def crowd(
    root: DataRoot, roles: Mapping[str, Sequence[Step]], scratch: Path, patience_s: float
) -> dict[str, list[str]]:
    """Starts one process per role, lets all begin together, and gives the outcomes of each: "done", a type of TYPED, or
    the traceback of what should not have surfaced. Raises TimeoutExpired."""
    children: dict[str, subprocess.Popen[str]] = {}
    for name, steps in roles.items():
        said = {"root": root.uri, "steps": [asdict(step) for step in steps], "work": str(scratch / f"{name}.work")}
        command = [sys.executable, "-m", "lance_assets_tests.faults.crowd", json.dumps(said)]
        children[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        for child in children.values():
            assert child.stdout is not None and child.stdout.readline() == "ready\n"
        for child in children.values():
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        return {name: json.loads(child.communicate(timeout=patience_s)[0]) for name, child in children.items()}
    finally:
        for child in children.values():
            child.kill()
            child.wait()


def outcomes(said: Mapping[str, Any]) -> list[str]:
    """Does the steps of one member, one after the other, each again while its outcome asks for it."""
    root, work, found = DataRoot(said["root"]), logging_to(said["work"]), list[str]()
    for step in map(Step.from_json, said["steps"]):
        for _ in range(20):
            try:
                perform(root, step, work)
                found.append("done")
                break
            except TYPED as outcome:
                found.append(type(outcome).__name__)
            except Exception:
                found.append(f"{step}: {traceback.format_exc()}")
                break
    return found


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    print(json.dumps(outcomes(json.loads(sys.argv[1]))))
