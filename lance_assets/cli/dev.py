"""`lance-assets dev`: Dagster's UI and daemon, one Ray head that runs join, and the demo's servers, all on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from lance_assets.cli.ray import record_of
from lance_assets.cli.run import say
from lance_assets.compute import LOOPBACK
from lance_assets.errors import BadInput
from lance_assets.settings import RAY_VARIABLE, Home, Platform

if TYPE_CHECKING:
    import dagster as dg

LOOK_SECONDS = 0.5
#: `dg dev` wants another package and does no more for us; what Dagster has to say about that helps nobody at work.
SUPERSEDED = "ignore:Function `dev_command` is superseded"


def add(parser: ArgumentParser) -> None:
    parser.add_argument("--port", type=_port, metavar="P", default=3000, help="of the web UI (default: 3000)")
    parser.add_argument(
        "--workspace",
        metavar="FILE",
        default="workspace.yaml",
        help="Dagster's workspace file (default: ./workspace.yaml)",
    )
    parser.set_defaults(main=main)


def main(flags: Namespace) -> int:
    """Runs until it is interrupted, then ends what it started: 0. 1 where a part ended by itself. Raises BadInput."""
    stop = _stop_on_signals()
    home = Home.find(flags.home)
    workspace = Path(flags.workspace).absolute()
    if not workspace.exists():
        raise BadInput(f"there is no {workspace}: start it in the checkout, or name the file with --workspace")
    Platform(home).config()
    if not home.root.exists():
        _check_free(flags.port)  # so that nothing is made in vain
    home.create()
    try:
        with FileLock(home.root / ".dev.lock", timeout=0):
            return _Dev(Platform(home), workspace, flags.port, stop).run()
    except Timeout as error:
        raise BadInput(f"another dev is running on {home.root}: use that one, or end it first") from error


def _stop_on_signals() -> threading.Event:
    """Set by Ctrl-C, kill, or a closed terminal (unless under nohup). Made before any child is started: one that is
    started by `dev &` in a script would inherit from it to ignore Ctrl-C, and Dagster then ignores kill, too."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: stop.set())
    return stop


class _Dev:
    """The parts while they run. Each is in a session of its own and recorded, so that a dev that was killed leaves
    nothing that the next one would not end."""

    def __init__(self, platform: Platform, workspace: Path, port: int, stop: threading.Event) -> None:
        self.platform, self.workspace, self.port, self.stop = platform, workspace, port, stop
        self.dagster = platform.home.root / "dev-dagster.json"
        self.ray = platform.home.root / "dev-ray.json"

    def run(self) -> int:
        from lance_assets.cli.runs import open_instance
        from lance_assets.sources.open import open_source

        config = self.platform.config()
        with ExitStack() as stack:
            instance = stack.enter_context(open_instance(self.platform.home))
            self._end_parts("left by a dev that was killed")
            _check_free(self.port)
            self._reap(instance)
            stack.callback(self._reap, instance)
            for entry in config.sources:
                stack.enter_context(open_source(**self.platform.source_arguments(entry)).serving())
            stack.callback(self._end_parts, "")
            if config.ray.address is None:
                os.environ[RAY_VARIABLE] = self._ray_head(config.ray.num_cpus)
            if self.stop.is_set():
                return 0
            code = self._watch(self._start_dagster())
            say("ending Dagster, its runs, Ray and the demo's servers")
        say("ended")
        return code

    def _ray_head(self, num_cpus: int) -> str:
        """The head of `lance-assets ray up` where there is one, which is not ours to end; else our own."""
        from lance_assets.compute.head import find_head, start_head

        home = self.platform.home
        found = find_head(record_of(home))
        head = found or start_head(self.ray, num_cpus, home.root / "ray.log")
        say(
            f"Ray head at {head.address}"
            + (" (of lance-assets ray up)" if found else f", its log in {home.root}/ray.log")
        )
        return head.address

    def _start_dagster(self) -> subprocess.Popen[bytes]:
        from lance_assets.automation.webhook import UI_VARIABLE
        from lance_assets.compute.processes import launch

        command = [
            *(sys.executable, "-W", SUPERSEDED, "-m", "dagster", "dev", "--log-level", "warning"),
            *("-w", str(self.workspace), "-h", LOOPBACK, "-p", str(self.port)),
        ]
        say("starting Dagster")
        os.environ[UI_VARIABLE] = f"http://{LOOPBACK}:{self.port}"  # for the links in alerts
        # A sensor may have to fetch the first files of a source; Dagster itself gives it a minute.
        os.environ.setdefault("DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS", "600")
        return launch(self.dagster, command, {}, cwd=self.workspace.parent)

    def _watch(self, dagster: subprocess.Popen[bytes]) -> int:
        """Until a signal: 0; or until a part ends by itself: 1."""
        from lance_assets.compute.processes import find

        ready = False
        while not self.stop.wait(LOOK_SECONDS):
            if dagster.poll() is not None:
                say(f"Dagster ended by itself with code {dagster.returncode}; its last lines say why")
                return 1
            if self.ray.exists() and find(self.ray) is None:
                say(f"the Ray head ended by itself; {self.platform.home.root}/ray.log says why")
                return 1
            if not ready and _answers(self.port):
                ready = True
                say(f"Dagster UI at http://{LOOPBACK}:{self.port} for {self.platform.home.root}; end with Ctrl-C")
        return 0

    def _end_parts(self, why: str) -> None:
        from lance_assets.compute.processes import end

        for name, record in (("Dagster", self.dagster), ("Ray head", self.ray)):
            if end(record) and why:
                say(f"ended the {name} {why}")

    def _reap(self, instance: dg.DagsterInstance) -> None:
        """Runs whose process is gone: of a command line that was killed, and, since no code server of this home lives
        before the parts start or after they ended, all that the UI or a sensor launched."""
        from lance_assets.automation.dead_runs import reap
        from lance_assets.cli.launched import fail_launched

        for run_id in [*reap(instance), *fail_launched(instance)]:
            say(f"run {run_id} was cut off: marked as failed, its slots are free; re-execute it in the UI")


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return int(text)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise BadInput(
                f"port {port} cannot be used for the web UI ({error.strerror}): name another with --port"
            ) from error


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
