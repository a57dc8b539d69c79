"""A process that does one step of a script and may be killed: `python -m lance_assets_tests.faults.worker ORDER`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from lance_assets.store.files import DataRoot
from lance_assets_tests.faults.script import Step
from lance_assets_tests.faults.steps import logging_to, perform
from lance_assets_tests.faults.trace import Trace


@dataclass(frozen=True)
class Order:
    """`at` is the call of the store's functions at which the worker writes one byte to `pipe`; 0 = never."""

    root: str
    step: Step
    work: str
    place: str
    at: int = 0
    pipe: int = -1

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def main(order: str) -> None:
    said = json.loads(order)
    todo = Order(**{**said, "step": Step.from_json(said["step"])})
    with Trace(todo.at, lambda: _tell(todo.pipe), Path(todo.place)):
        perform(DataRoot(todo.root), todo.step, logging_to(todo.work))


def _tell(pipe: int) -> None:
    os.write(pipe, b"x")


if __name__ == "__main__":
    main(sys.argv[1])
