"""Training in a child process of the command line, without Ray: the functions of this room by name, arguments and
result as JSON files, all output on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lance_assets.errors import BadInput, Failed
from lance_assets.training.environment import THREADS
from lance_assets.training.launch import task_environment, train
from lance_assets.training.merge import merge
from lance_assets.training.ranks import end_with_parent
from lance_assets.training.tiny import build_tiny
from lance_assets.training.tune import Report, watched

VISIBLE = "CUDA_VISIBLE_DEVICES"
#: By name, with arguments as JSON has them.
ACTS: dict[str, Callable[..., Any]] = {
    "train": train,
    "build_tiny": lambda folder, captions: build_tiny(Path(folder), captions),
    "merge": lambda base, adapter, template, into: merge(base, Path(adapter), template, Path(into)),
}


@dataclass(frozen=True)
class Child:
    """Runs functions as tune.Run describes; `threads` for the arithmetic on the CPU (None = all cores)."""

    report: Report
    threads: str | None = None

    def __call__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        offline: bool = True,
        gpus: int | None = None,
        watch: Path | None = None,
    ) -> Any:
        """Raises BadInput as the function does, and Failed where the child ended otherwise."""
        with tempfile.TemporaryDirectory() as folder:
            request, result = Path(folder, "request.json"), Path(folder, "result.json")
            request.write_text(json.dumps([function.__name__, arguments], default=str))
            command = [sys.executable, "-m", "lance_assets.training.child", str(request), str(result)]
            process = subprocess.Popen(
                command, env=self._environment(offline, gpus), stdin=subprocess.PIPE, stdout=sys.stderr
            )

            def wait(seconds: float) -> bool:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
                return process.returncode is not None

            try:
                watched(wait, watch or Path(folder), self.report)
            finally:
                if process.returncode is None:  # we were interrupted
                    process.kill()
            if not result.exists():
                raise Failed(f"{function.__name__} ended with status {process.returncode}; its output above says why")
            answer = json.loads(result.read_text())
        if "error" in answer:
            raise BadInput(answer["error"])
        return answer["result"]

    def _environment(self, offline: bool, gpus: int | None) -> dict[str, str]:
        environment = {**os.environ, **task_environment(offline)}
        environment[THREADS] = self.threads or str(len(os.sched_getaffinity(0)))
        if gpus is not None:
            environment[VISIBLE] = ",".join(first_gpus(gpus, os.environ.get(VISIBLE)))
        return environment


def first_gpus(gpus: int, visible: str | None) -> list[str]:
    """The first of the GPUs that we may use, which are all (None) or those of CUDA_VISIBLE_DEVICES. Raises BadInput."""
    if gpus < 0:
        raise BadInput(f"{gpus} GPUs are asked for: 0 or more")
    if visible is None:
        return [str(number) for number in range(gpus)]
    ours = [name.strip() for name in visible.split(",") if name.strip()]
    if gpus > len(ours):
        raise BadInput(f"{gpus} GPUs are asked for, and {VISIBLE}={visible} names {len(ours)}")
    return ours[:gpus]


def main(request: Path, result: Path) -> None:
    end_with_parent()
    name, arguments = json.loads(request.read_text())
    try:
        answer = {"result": ACTS[name](*arguments)}
    except BadInput as error:
        answer = {"error": str(error)}
    result.write_text(json.dumps(answer, default=str))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
