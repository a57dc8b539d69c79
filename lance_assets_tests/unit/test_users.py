"""Whoever leaves last turns off the light, also where somebody was killed before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lance_assets.compute.users import Users

USER = """
import sys
from pathlib import Path
from lance_assets.compute.users import Users
with Users(Path(sys.argv[1]), "model").used(lambda: print("last", flush=True)):
    print("in", flush=True)
    sys.stdin.readline()
"""


def user(folder: Path) -> subprocess.Popen[str]:
    """A process that is a user by now, until it gets a line."""
    command = [sys.executable, "-c", USER, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "in\n"
    return process


def test_only_the_last_user_is_told_and_once(tmp_path: Path) -> None:
    told: list[str] = []
    users = Users(tmp_path / "new", "model")
    with users.used(lambda: told.append("outer")):
        with users.used(lambda: told.append("inner")):
            pass
        assert told == []
    assert told == ["outer"]
    with users.used(lambda: told.append("again")):
        pass
    assert told == ["outer", "again"]


def test_users_of_other_things_do_not_count(tmp_path: Path) -> None:
    told: list[str] = []
    with Users(tmp_path, "one").used(lambda: told.append("one")):
        with Users(tmp_path, "other").used(lambda: told.append("other")):
            pass
        assert told == ["other"]


def test_an_error_inside_counts_as_leaving(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(ValueError, match="mine"), Users(tmp_path, "model").used(lambda: told.append("last")):
        raise ValueError("mine")
    assert told == ["last"]


def test_of_two_processes_the_last_one_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    other = user(tmp_path)
    with Users(tmp_path, "model").used(lambda: told.append("last")):
        pass
    assert told == []
    assert other.communicate("go\n", timeout=60) == ("last\n", None)


def test_a_process_that_was_killed_is_no_user_any_more(tmp_path: Path) -> None:
    told: list[str] = []
    other = user(tmp_path)
    with Users(tmp_path, "model").used(lambda: told.append("last")):
        os.kill(other.pid, signal.SIGKILL)
        other.wait(timeout=60)
    assert told == ["last"]
    other.communicate()
