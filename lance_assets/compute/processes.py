"""Long-lived processes of ours, each in a session of its own and recorded in a file: whoever comes later, also after a
kill -9, finds it and ends it with all that it started."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

ASK_SECONDS = 15.0


def launch(record: Path, command: Sequence[str], said: dict[str, Any], **options: Any) -> subprocess.Popen[bytes]:
    """Starts a command in its own session, so that a Ctrl-C in the terminal reaches it only through us, and writes
    {"pid", "started", **said}. `options` are Popen's."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
    started = psutil.Process(process.pid).create_time()
    record.write_text(json.dumps({"pid": process.pid, "started": started, **said}))
    return process


def find(record: Path) -> dict[str, Any] | None:
    """What was recorded, where that process still lives; None otherwise."""
    if not record.exists():
        return None
    said = json.loads(record.read_text())
    return said if _leads(said) else None


def end(record: Path, ask_with: Sequence[int], ask_seconds: float = ASK_SECONDS) -> bool:
    """Ends what the record names and everything that it started, and removes the record. False where nothing lived.

    The signals are sent one after the other, the first to the recorded process, the others to all that is left, with
    `ask_seconds` for each; who is still there then is killed.
    """
    if not record.exists():
        return False
    said = json.loads(record.read_text())
    first = left = _members(said)
    for number in ask_with:
        for process in left:
            if number != ask_with[0] or process.pid == said["pid"] or not _leads(said):
                _signal(process, number)
        psutil.wait_procs(left, timeout=ask_seconds)
        left = _members(said)
    while left:
        for process in left:
            _signal(process, None)
        psutil.wait_procs(left, timeout=ask_seconds)
        left = _members(said)
    record.unlink(missing_ok=True)
    return bool(first)


def _members(said: dict[str, Any]) -> list[psutil.Process]:
    """Who lives in the recorded session, its leader or not. The kernel gives no number away that names a session."""
    if said["started"] < psutil.boot_time() or (psutil.pid_exists(said["pid"]) and not _leads(said)):
        return []
    return [process for process in psutil.process_iter() if _session(process) == said["pid"] and _lives(process)]


def _leads(said: dict[str, Any]) -> bool:
    try:
        process = psutil.Process(said["pid"])
        return process.create_time() == said["started"] and _lives(process)
    except psutil.NoSuchProcess:
        return False


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


def _signal(process: psutil.Process, number: int | None) -> None:
    """Sends a signal; None = kill. One that is gone already is what we want."""
    try:
        process.kill() if number is None else process.send_signal(number)
    except psutil.NoSuchProcess:
        return
