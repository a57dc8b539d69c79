"""One Ray head on loopback that runs can join; ended by its recorded pid, never by `ray stop`."""

from __future__ import annotations

import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from lance_assets.compute import LOOPBACK
from lance_assets.compute.cluster import OBJECT_STORE_BYTES
from lance_assets.compute.processes import end, find, launch
from lance_assets.errors import BadInput

START_SECONDS = 120.0
#: GcsNodeInfo.GcsNodeState of Ray's gcs.proto.
ALIVE = 0


@dataclass(frozen=True)
class Head:
    """A running head. `pid` is that of `ray start --block`, whose children end with it."""

    pid: int
    address: str


def find_head(record: Path) -> Head | None:
    """The head that the file records, if it still lives."""
    said = find(record)
    return Head(said["pid"], said["address"]) if said else None


def start_head(record: Path, num_cpus: int, log: Path, object_bytes: int = OBJECT_STORE_BYTES) -> Head:
    """Starts a head, or gives the one that runs already. Raises BadInput when it does not come up in START_SECONDS."""
    if head := find_head(record):
        return head
    address = f"{LOOPBACK}:{_free_port()}"
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--disable-usage-stats"),
        *("--node-ip-address", LOOPBACK, "--port", address.rpartition(":")[2], "--num-cpus", str(num_cpus)),
        *("--include-dashboard", "false", "--object-store-memory", str(object_bytes)),
        *("--ray-client-server-port", str(_free_port())),
        *("--min-worker-port", "10002", "--max-worker-port", "19999"),  # the demo's servers keep ports above these
    ]
    with log.open("ab") as stream:
        process = launch(record, command, {"address": address}, stream)
    deadline = time.monotonic() + START_SECONDS
    while not _answers(address):
        if process.poll() is not None or time.monotonic() > deadline:
            end(record)
            raise BadInput(f"the Ray head did not come up at {address}; see {log}")
        time.sleep(0.2)  # between two knocks
    return Head(process.pid, address)


def stop_head(record: Path) -> bool:
    """Ends the recorded head and its children; False where none was running."""
    return end(record)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def _answers(address: str) -> bool:
    """Whether a node of the cluster is up: the head's port opens some seconds before, and who joins then is refused."""
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]  # compiled, without a stub
    from ray.exceptions import RpcError

    try:
        nodes = GcsClient(address=address).get_all_node_info(timeout=5)
    except RpcError:
        return False
    return any(node.state == ALIVE for node in nodes.values())
