"""`lance-assets dev` on a home of its own, as a person runs it."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import yaml

from lance_assets.training.recipe import FOLDER
from lance_assets_tests.readme import shown
from lance_assets_tests.ui.graphql import GraphQL
from lance_assets_tests.ui.listeners import tree

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("lance-assets")
BATCH = 30
START_SECONDS = 120
STOP_SECONDS = 60
QUICK = {"max_steps": 2, "warmup_steps": 1, "logging_steps": 1, "per_device_train_batch_size": 4, "plot_loss": False}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class DevPlatform:
    """A home with batches of 30 demo frames, a recipe of two steps and README's own scorer, and the dev that serves
    it."""

    def __init__(self, home: Path):
        self.home = home
        self.log = home.with_suffix(".log")
        self.port = free_port()
        self.graphql = GraphQL(self.port)
        self.rows = 0
        home.mkdir()
        demo = yaml.safe_load((FOLDER / "demo.yaml").read_text())
        self.recipe = home / "quick.yaml"
        self.recipe.write_text(yaml.safe_dump({**demo, **QUICK}))
        (home / "my_scorers.py").write_text(shown("python", "def redness"))
        self.one_more_batch()

    def one_more_batch(self) -> int:
        """As a person edits platform.yaml: the row limit goes up by one batch. Returns the new limit."""
        self.rows += BATCH
        source = {"id": "demo", "spec": "demo", "rows": self.rows}
        own = [{"name": "redness", "uses": "my_scorers:redness"}]
        # These tests count what people ask for; what happens by itself is in test_automation.py.
        still = {"new_samples": False, "relabel": False, "training_set": False}
        said = {"sources": [source], "batch_size": BATCH, "recipe": str(self.recipe), "scorers": own}
        said["automation"] = still
        draft = self.home / "platform.draft"
        draft.write_text(yaml.safe_dump(said))
        draft.replace(self.home / "platform.yaml")
        return self.rows

    def command(self, *arguments: str) -> list[str]:
        return [str(COMMAND), *arguments, "--home", str(self.home)]

    def start(self) -> None:
        """As `lance-assets dev &` in a script: told to ignore Ctrl-C, which must end it nevertheless."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with self.log.open("wb") as log:
                self.process = subprocess.Popen(
                    self.command("dev", "--port", str(self.port)), cwd=ROOT, stdout=log, stderr=log
                )
        finally:
            signal.signal(signal.SIGINT, before)
        self.await_line("Dagster UI at", START_SECONDS)
        assert self.graphql.asset_keys(), self.log.read_text()

    def await_line(self, text: str, seconds: float) -> None:
        """Until dev has said something."""
        deadline = time.monotonic() + seconds
        while text not in self.log.read_text():
            assert self.process.poll() is None, f"dev ended: {self.log.read_text()}"
            assert time.monotonic() < deadline, f"dev did not say {text!r}: {self.log.read_text()}"
            time.sleep(0.2)  # between two looks

    def stop(self, number: int = signal.SIGINT) -> int:
        """Ends dev by a signal; returns its exit code. Fails when a process that it started lives on."""
        started = tree(self.process.pid)
        self.process.send_signal(number)
        code = self.process.wait(STOP_SECONDS)
        _, alive = psutil.wait_procs(started, timeout=5)
        left = [str(process) for process in {*alive, *self.mentioned()}]
        assert not left, f"{left} outlived dev: {self.log.read_text()}"
        return code

    def kill(self) -> None:
        """As a lost test run must: what a failed start or stop left."""
        for process in tree(self.process.pid):
            process.kill()
        for process in self.mentioned():
            process.kill()

    def mentioned(self) -> list[psutil.Process]:
        """Processes that know of this home, this one left out."""
        return mentioned(self.home)


def mentioned(home: Path) -> list[psutil.Process]:
    """Processes that know of a home by their command line or environment, this one left out."""
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _knows(process, home)]


def _knows(process: psutil.Process, home: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return str(home) in " ".join([*process.cmdline(), *process.environ().values()])
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
