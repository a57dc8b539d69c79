"""Long-lived processes of ours, each in a session of its own and recorded in a file: whoever comes later, also after a
kill -9, finds it and ends it with all that it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psutil

#: How long processes may take to end when they are asked to.
ASK_SECONDS = 15.0
#: The start of a process is computed from the clock, which may be set meanwhile.
CLOCK_SECONDS = 5.0


def launch(
    record: Path, command: Sequence[str], said: dict[str, Any], output: IO[bytes] | None = None, cwd: Path | None = None
) -> subprocess.Popen[bytes]:
    """Starts a command in its own session, so that a Ctrl-C in the terminal reaches it only through us, and writes
    {"pid", "started", **said}. `output` takes stdout and stderr; None = ours."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd, start_new_session=True
    )
    started = psutil.Process(process.pid).create_time()
    record.write_text(json.dumps({"pid": process.pid, "started": started, **said}))
    return process


def find(record: Path) -> dict[str, Any] | None:
    """What was recorded, where that process still lives; None otherwise."""
    if not record.exists():
        return None
    said = json.loads(record.read_text())
    return said if _leader(said) else None


def end(record: Path) -> bool:
    """Ends what the record names and everything that it started, and removes the record. False where nothing lived.

    All are asked at once; who does not end in time is killed.
    """
    if not record.exists():
        return False
    said = json.loads(record.read_text())
    lived = members(said)
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = members(said)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        psutil.wait_procs(left, timeout=ASK_SECONDS)
    record.unlink()
    return bool(lived)


def members(said: dict[str, Any]) -> list[psutil.Process]:
    """Who lives in the recorded session, its leader or not. The kernel gives no number away that names a session, so a
    leader that is somebody else says that ours is over."""
    if said["started"] < psutil.boot_time() or (psutil.pid_exists(said["pid"]) and not _leader(said, zombie=True)):
        return []
    return [process for process in psutil.process_iter() if _session(process.pid) == said["pid"] and _lives(process)]


def same(pid: int, started: float, zombie: bool = False) -> psutil.Process | None:
    """The process of that number, where it is the one that started then (POSIX seconds) and lives."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if abs(process.create_time() - started) < CLOCK_SECONDS and (zombie or _lives(process)):
            return process
    return None


def _leader(said: dict[str, Any], zombie: bool = False) -> psutil.Process | None:
    return same(said["pid"], said["started"], zombie)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
