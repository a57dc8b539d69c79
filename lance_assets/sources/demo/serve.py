"""Runs both demo servers until the owner is gone: python -m lance_assets.sources.demo.serve DEMO_DIR --owner PID"""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

import psutil

from lance_assets.sources.demo.hub import HubServer
from lance_assets.sources.demo.images import ImageServer
from lance_assets.sources.demo.servers import DemoServers

OWNER_CHECK_SECONDS = 1.0


def serve(demo_dir: Path, owner: int) -> None:
    """Blocks until SIGTERM, SIGINT or the end of the owner process."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ports = DemoServers(demo_dir).ports()
    servers = [HubServer(ports.hub, demo_dir), ImageServer(ports.image, demo_dir)]
    threads = [threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}) for server in servers]
    for thread in threads:
        thread.start()
    try:
        while not stop.wait(OWNER_CHECK_SECONDS) and lives(owner):
            pass
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def lives(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def main() -> None:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo_dir", type=Path)
    parser.add_argument("--owner", type=int, required=True, help="pid of the process that this one must not outlive")
    arguments = parser.parse_args()
    serve(arguments.demo_dir, arguments.owner)


if __name__ == "__main__":
    main()
