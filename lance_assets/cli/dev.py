"""`lance-assets dev`: Dagster's UI and daemon, one Ray head that runs join, and the demo's servers, all on loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout

from lance_assets.cli.ray import record_of
from lance_assets.errors import BadInput
from lance_assets.settings import RAY_VARIABLE, Home, Platform

LOOPBACK = "127.0.0.1"
STOP_SECONDS = 30


def add(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=3000, help="of the web UI")
    parser.add_argument("--workspace", default="workspace.yaml", help="the workspace file of this checkout")


def main(flags: Namespace) -> int:
    """Runs until it is interrupted, then ends what it started. Raises BadInput."""
    home = Home.find(flags.home)
    workspace = Path(flags.workspace).absolute()
    if not workspace.exists():
        raise BadInput(f"there is no {workspace}: start it in the checkout, or name the file with --workspace")
    home.create()
    try:
        with FileLock(home.root / ".dev.lock", timeout=0):
            return _serve(Platform(home), workspace, flags.port)
    except Timeout as error:
        raise BadInput(f"another dev is running on {home.root}") from error


def _serve(platform: Platform, workspace: Path, port: int) -> int:
    from lance_assets.cli.run import say
    from lance_assets.cli.runs import open_instance, reap
    from lance_assets.compute.head import start_head, stop_head
    from lance_assets.sources.open import open_source

    home, config = platform.home, platform.config()
    with open_instance(home) as instance:
        for run_id in reap(instance):
            say(f"run {run_id} was dead: marked as failed")
    with ExitStack() as stack:
        for entry in config.sources:
            stack.enter_context(open_source(**platform.source_arguments(entry)).serving())
        if config.ray.address is None:
            stack.callback(stop_head, record_of(home))
            head = start_head(record_of(home), config.ray.num_cpus, home.root / "ray.log")
            os.environ[RAY_VARIABLE] = head.address
            say(f"Ray head at {head.address}")
        command = [sys.executable, "-m", "dagster", "dev", "-w", str(workspace), "-h", LOOPBACK, "-p", str(port)]
        dagster = subprocess.Popen(command, cwd=workspace.parent)
        say(f"Dagster UI at http://{LOOPBACK}:{port} for {home.root}; end with Ctrl-C")
        return _until_interrupted(dagster)


def _until_interrupted(dagster: subprocess.Popen[bytes]) -> int:
    def forward(signum: int, _: object) -> None:
        dagster.send_signal(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    code = dagster.wait()
    return 0 if code in (0, -signal.SIGINT, -signal.SIGTERM) else 1
