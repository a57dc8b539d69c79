"""One training of `bench train`, in a process of its own: when steps ended and what was read, as one JSON file."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

#: What the kernel counts for this process (Linux): bytes that it asked for, from the page cache or not.
COUNTERS = Path("/proc/self/io")


class Clock(TrainerCallback):
    """Moments at which steps ended."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.moments.append(time.monotonic())


def read_bytes() -> int:
    return int(COUNTERS.read_text().split()[1]) if COUNTERS.exists() else 0


def main(arguments: Path, result: Path) -> None:
    from llamafactory.train.tuner import run_exp

    from lance_assets.training.device import find_device, fit

    args = fit(json.loads(arguments.read_text()), find_device())
    clock, began, before = Clock(), time.monotonic(), read_bytes()
    run_exp(args, [clock])
    first, last = clock.moments[0], clock.moments[-1]
    found = {
        "first_step_s": first - began,
        "steps_per_second": (len(clock.moments) - 1) / (last - first),
        "read_bytes": read_bytes() - before,
    }
    result.write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
