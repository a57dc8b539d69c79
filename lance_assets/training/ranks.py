"""Several ranks of one training on this machine, as torchrun starts them, but reachable from this machine alone and
never outliving the process that started them.

torchrun's store listens on every interface, whatever address it is told; and killed, it leaves its ranks alive.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from lance_assets.errors import Failed
from lance_assets.training import finder

LOOPBACK, INTERFACE = "127.0.0.1", "lo"
LOOK_SECONDS = 0.5


def run_ranks(command: Sequence[str], processes: int, environment: Mapping[str, str]) -> None:
    """Runs the command once a rank, until all have ended; it must call `end_with_parent`.

    The ranks meet as torch.distributed's env:// says, at a store in this process. Raises Failed where a rank does not
    end with 0, and kills the others then.
    """
    from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

    listener = socket.create_server((LOOPBACK, 0))
    port = listener.getsockname()[1]
    store = TCPStore(
        LOOPBACK, port, is_master=True, wait_for_workers=False, multi_tenant=True, master_listen_fd=listener.detach()
    )
    said = {
        "OMP_NUM_THREADS": "1",  # as torchrun does where nothing is said
        **environment,
        "MASTER_ADDR": LOOPBACK,
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # rank 0 opens no store of its own
        "GLOO_SOCKET_IFNAME": INTERFACE,
        "NCCL_SOCKET_IFNAME": INTERFACE,
        **dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(processes)),
        "GROUP_RANK": "0",
    }
    ranks = [_started(command, {**said, "RANK": str(n), "LOCAL_RANK": str(n)}) for n in range(processes)]
    try:
        _await(ranks)
    finally:
        del store


def run_one(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """The same with one process that is no rank. Raises Failed."""
    _await([_started(command, environment)])


def _started(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE)


def _await(ranks: Sequence[subprocess.Popen[bytes]]) -> None:
    try:
        codes = [rank.poll() for rank in ranks]
        while None in codes and not any(codes):
            time.sleep(LOOK_SECONDS)
            codes = [rank.poll() for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()  # nothing, where it has ended
            rank.communicate()
    if failed := [f"rank {n} of {len(codes)} ended with status {code}" for n, code in enumerate(codes) if code]:
        raise Failed(f"{failed[0]}; its output above says why")


def end_with_parent() -> None:
    """From now on this process ends when the process that started it does, however that one dies: stdin is a pipe that
    closes then. A training that nobody waits for would keep others out of its folder."""
    threading.Thread(target=_wait_for_the_end, daemon=True).start()


def _wait_for_the_end() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def main() -> None:
    """One rank; LLaMA-Factory reads the recipe's path from the command line."""
    end_with_parent()
    finder.install()
    from llamafactory.train.tuner import run_exp

    run_exp()


if __name__ == "__main__":
    main()
