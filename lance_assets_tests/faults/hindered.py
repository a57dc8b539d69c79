"""A process that its system hinders in one step: `python -m lance_assets_tests.faults.hindered ORDER`.

It may write no file above a size (as on a full disk), or is somebody to whom the folder does not belong.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import asdict

from lance_assets.errors import Unreachable
from lance_assets.store.files import DataRoot
from lance_assets.store.objects import reachable
from lance_assets.store.table import open_images
from lance_assets_tests.faults.script import Step
from lance_assets_tests.faults.steps import perform

NOBODY = 65534


def hindered(
    root: DataRoot, step: Step, file_bytes: int | None = None, nobody: bool = False, store: str | None = None
) -> tuple[str, str, int]:
    """The error that the step ended with, as (type, message), and the number of rows that the process could read then,
    -1 where the store is gone. `store` is the host:port where the process finds its object store."""
    order = {"root": root.uri, "step": asdict(step), "file_bytes": file_bytes, "nobody": nobody}
    command = [sys.executable, "-m", "lance_assets_tests.faults.hindered", json.dumps(order)]
    environment = os.environ if store is None else {**os.environ, "AWS_ENDPOINT": f"http://{store}"}
    said = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)
    assert said.returncode == 0, said.stderr
    return tuple(json.loads(said.stdout.splitlines()[-1]))


def main(order: str) -> None:
    said = json.loads(order)
    root = DataRoot(said["root"])
    if said["file_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (said["file_bytes"], said["file_bytes"]))
    if said["nobody"]:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    kind, message = "nothing", ""
    try:
        perform(root, Step.from_json(said["step"]), lambda what: None)
    except Exception as error:
        kind, message = type(error).__name__, str(error)
    print(json.dumps([kind, message, _rows(root)]))


def _rows(root: DataRoot) -> int:
    try:
        with reachable(root.uri):
            return open_images(root).to_table(columns=["id"]).num_rows
    except Unreachable:
        return -1


if __name__ == "__main__":
    main(sys.argv[1])
