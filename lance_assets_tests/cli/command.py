"""`lance-assets` as a person starts it: the installed command, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

COMMAND = str(Path(sys.executable).parent / "lance-assets")
RECIPE = Path(__file__).parent / "recipe.yaml"
SECONDS = 240


@dataclass(frozen=True)
class Ended:
    """A command that ended: exit code, lines of both outputs."""

    code: int
    out: list[str]
    err: list[str]

    def json(self) -> dict[str, Any]:
        """The object on the last line of stdout."""
        return json.loads(self.out[-1])


def environment(**said: str) -> dict[str, str]:
    """This process's environment without what the platform reads from it, but for what is said here."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("LANCE_ASSETS_")}, **said}


def lance_assets(*arguments: object, **said: str) -> Ended:
    """Runs the command to its end; keywords are environment variables."""
    command = [COMMAND, *map(str, arguments)]
    done = subprocess.run(command, env=environment(**said), capture_output=True, text=True, timeout=SECONDS)
    return Ended(done.returncode, done.stdout.splitlines(), done.stderr.splitlines())


def start(log: Path, *arguments: object, **said: str) -> subprocess.Popen[bytes]:
    """Starts the command and leaves it running; both its outputs go to `log`."""
    with log.open("wb") as stream:
        return subprocess.Popen([COMMAND, *map(str, arguments)], env=environment(**said), stdout=stream, stderr=stream)


def kill_when(
    process: subprocess.Popen[bytes],
    log: Path,
    condition: Callable[[], bool],
    number: int = signal.SIGKILL,
    seconds: float = SECONDS,
) -> int:
    """Sends the signal as soon as the condition holds and gives the exit code. Fails when the process ends before, or
    when condition or end take too long."""
    deadline = time.monotonic() + seconds
    try:
        while not condition():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the moment to kill it never came:\n{log.read_text()}")
            time.sleep(0.02)
        process.send_signal(number)
        return process.wait(seconds)
    finally:
        process.kill()
        process.wait()
