"""Claims: one writer per name (a batch key, or a table), whoever else works on the same root.

A local root locks a file, and the kernel frees it when its process dies. An object store holds a lease.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from lance_assets.errors import Busy
from lance_assets.store.files import DataRoot
from lance_assets.store.lease import LEASE_S, Lease, LostClaim, TakenElsewhere
from lance_assets.store.objects import reachable

__all__ = ["LEASE_S", "Busy", "Held", "LostClaim", "claim"]


class Held:
    """A claim that we hold. `check` belongs right before each step that only the holder may take."""

    def __init__(self, name: str, lease: Lease | None = None) -> None:
        self.name, self.lease = name, lease

    def check(self) -> None:
        """Raises LostClaim where we cannot be sure any more that nobody else holds it; a lock of the kernel stays."""
        if self.lease is not None:
            self.lease.check()


@contextmanager
def claim(root: DataRoot, name: str, timeout: float = 600, lease_s: float = LEASE_S) -> Iterator[Held]:
    """Waits up to `timeout` seconds (0 = one try), then raises Busy. Raises Unreachable, too.

    `lease_s` tells how long after its death a holder on an object store still keeps others out.
    """
    if root.is_local:
        folder = root.folder / "locks"
        with reachable(root.uri):
            folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock", timeout=timeout)  # stays there: deleting it would race
        try:
            with reachable(root.uri):
                lock.acquire()
        except Timeout as error:
            raise Busy(f"{name} is being written by another process for more than {timeout:.0f} s") from error
        try:
            yield Held(name)
        finally:
            lock.release()
        return
    lease = Lease(root.uri, f"locks/{name}.json", lease_s)
    try:
        lease.acquire(timeout)
    except TakenElsewhere as error:
        raise Busy(f"{name} is being written by {error} for more than {timeout:.0f} s") from error
    try:
        yield Held(name, lease)
    finally:
        lease.release()
