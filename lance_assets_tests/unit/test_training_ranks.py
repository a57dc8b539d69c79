"""Ranks that meet with gloo and add numbers; the real training of two is in test_llamafactory_everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lance_assets.errors import Failed
from lance_assets.training.ranks import run_ranks
from lance_assets_tests.ui.listeners import Watch

pytest.importorskip("torch", reason="needs the extra train")

ADDS = """
import os, sys, time
from pathlib import Path
import torch
import torch.distributed as dist
dist.init_process_group("gloo")
number = torch.tensor([dist.get_rank() + 1])
dist.all_reduce(number)
time.sleep(1.5)  # to be looked at
Path(sys.argv[1], f"{dist.get_rank()}-of-{dist.get_world_size()}").write_text(str(number.item()))
dist.destroy_process_group()
"""
FAILS = "import os, sys, time; sys.exit(3) if os.environ['RANK'] == '1' else time.sleep(600)"
WAITS = """
import os, sys, time
from pathlib import Path
from lance_assets.training.ranks import end_with_parent
end_with_parent()
Path(sys.argv[1], os.environ["RANK"]).write_text(str(os.getpid()))
time.sleep(600)
"""
STARTS = """
import os, sys
from lance_assets.training.ranks import run_ranks
run_ranks([sys.executable, "-c", sys.argv[1], sys.argv[2]], 2, os.environ)
"""


def test_ranks_meet_and_nothing_listens_beyond_loopback(tmp_path: Path) -> None:
    with Watch(os.getpid()) as watch:
        run_ranks([sys.executable, "-c", ADDS, str(tmp_path)], 2, os.environ)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"0-of-2": "3", "1-of-2": "3"}
    assert any(" -c " in command for _, command in watch.seen), "the ranks were never seen to listen"
    assert watch.elsewhere() == []


def test_a_rank_that_fails_is_named_and_ends_the_others(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="rank 1 of 2 ended with status 3"):
        run_ranks([sys.executable, "-c", FAILS], 2, os.environ)
    assert not [one for one in psutil.Process().children() if FAILS in one.cmdline()]


def test_ranks_end_when_the_process_that_started_them_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", STARTS, WAITS, str(tmp_path)])
    deadline = time.monotonic() + 120
    while not all(file.exists() and file.read_text() for file in (tmp_path / "0", tmp_path / "1")):
        assert parent.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)  # between two looks
    ranks = [psutil.Process(int((tmp_path / name).read_text())) for name in "01"]
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(ranks, timeout=30)
    assert not alive
