"""Starts, finds and stops the demo's servers.

servers.json (pid, hub_port, image_port) is for people; who is alive is asked on the ports.
"""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from lance_assets.errors import BadInput
from lance_assets.sources.demo.loopback import ALIVE_PATH, HOST, identity

START_SECONDS = 20.0
STOP_SECONDS = 5.0
ANSWER_SECONDS = 2.0
PORTS = range(20000, 32000)
"""Below the ports that systems hand to outgoing connections: a kept port is less likely to be taken next time."""


class Ports(NamedTuple):
    """The two listening ports; the images' is part of every published URL."""

    hub: int
    image: int


class DemoServers:
    """The hub's stand-in and the image server of one demo folder, in one process of their own."""

    def __init__(self, demo_dir: Path) -> None:
        self.demo_dir = demo_dir
        self._process: subprocess.Popen[bytes] | None = None

    def ports(self) -> Ports:
        """The ports, chosen when first asked and then kept in ports.json. Raises BadInput for an unreadable file."""
        path = self.demo_dir / "ports.json"
        if not path.exists():
            self.demo_dir.mkdir(parents=True, exist_ok=True)
            with FileLock(self.demo_dir / "ports.lock"):
                if not path.exists():
                    _write(path, _free_ports()._asdict())
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return Ports(int(kept["hub"]), int(kept["image"]))
        except (ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{path} does not hold the ports of the demo's servers: {error}") from error

    def alive(self) -> bool:
        """Whether both servers answer and belong to this folder."""
        return all(_answers(port, identity(self.demo_dir)) is not None for port in self.ports())

    def start(self) -> None:
        """Starts the servers and returns when they answer; does nothing where they live already.

        They end with this process, or by stop(). Raises BadInput where a port belongs to somebody else or nothing
        answers within START_SECONDS.
        """
        with FileLock(self.demo_dir / "servers.lock"):
            if self.alive():
                return
            for port in self.ports():
                self._check_free(port)
            command = [sys.executable, "-m", "lance_assets.sources.demo.serve", str(self.demo_dir.resolve())]
            log = self.demo_dir / "servers.log"
            with log.open("wb") as errors:
                self._process = subprocess.Popen(
                    [*command, "--owner", str(os.getpid())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    start_new_session=True,  # Ctrl-C in the terminal ends the run first, and the run ends the servers
                )
            self._await(self._process, log)
            ports = self.ports()
            state = {"pid": self._process.pid, "hub_port": ports.hub, "image_port": ports.image}
            _write(self.demo_dir / "servers.json", state)

    def stop(self) -> None:
        """Ends the servers if this object started them; others are left alone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        (self.demo_dir / "servers.json").unlink(missing_ok=True)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Servers that answer while inside: joins those that live, else starts them and stops them at the end."""
        if self.alive():
            yield
            return
        self.start()
        try:
            yield
        finally:
            self.stop()

    def _await(self, process: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.alive():
            if process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                last = (log.read_text(encoding="utf-8", errors="replace").splitlines() or ["no message"])[-1]
                raise BadInput(f"the demo's servers did not start: {last} (all of it in {log})")
            time.sleep(0.05)  # between two looks at the port

    def _check_free(self, port: int) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise BadInput(
                    f"port {port}, which {self.demo_dir / 'ports.json'} reserves for the demo's servers, is taken by "
                    "another program: end that program, or use a fresh home"
                ) from error


def _answers(port: int, who: str) -> int | None:
    """The pid of our server on that port, None for nobody or somebody else."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{HOST}:{port}{ALIVE_PATH}", timeout=ANSWER_SECONDS) as reply:
            said = json.loads(reply.read(1000))
    except (OSError, ValueError):
        return None
    return said.get("pid") if isinstance(said, dict) and said.get("identity") == who else None


def _free_ports() -> Ports:
    free: list[int] = []
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            free.append(port)
        if len(free) == 2:
            return Ports(*free)
    raise BadInput(f"no two free ports for the demo's servers on {HOST} among 100 tried in {PORTS[0]}-{PORTS[-1]}")


def _write(path: Path, value: dict[str, int]) -> None:
    tmp = path.with_name(path.name + ".tmp")
    tmp.write_text(json.dumps(value), encoding="utf-8")
    tmp.replace(path)
