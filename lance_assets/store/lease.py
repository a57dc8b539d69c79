"""A lease on an object store: conditional writes and no clock that anybody could set.

The protocol of Amazon's DynamoDB lock client (AWS Database Blog, "Building Distributed Locks with the DynamoDB Lock
Client"), with the object's e_tag as the record version number: the holder writes the object anew again and again; who
waits takes it over only after having seen the same e_tag for a whole lease on a clock of its own. Each write names the
e_tag that it replaces, so of two one fails.
"""

from __future__ import annotations

import json
import logging
import os
import random
import socket
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError

from lance_assets.errors import Unreachable
from lance_assets.store.objects import bucket, reachable

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutResult, UpdateVersion
    from obstore.store import ObjectStore

#: Seconds after its last sign of life for which a holder keeps others out.
LEASE_S = 15.0

logger = logging.getLogger(__name__)


class LostClaim(RuntimeError):
    """Somebody else may hold the claim by now: nothing may be published any more."""


class TakenElsewhere(RuntimeError):
    """Somebody else held the lease all the time. The message names them."""


@dataclass(frozen=True)
class Record:
    """What the object says. `beat` counts the writes of an owner, so that no two writes have the same e_tag."""

    owner: str
    state: Literal["held", "free"]
    beat: int
    lease_s: float


class Lease:
    """One acquisition of the lease in object `name` below `uri`. An owner never comes back."""

    def __init__(self, uri: str, name: str, lease_s: float = LEASE_S) -> None:
        self.uri, self.name, self.lease_s = uri, name, lease_s
        self.owner = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4().hex}"
        self.beat = 0
        self.written: UpdateVersion | None = None
        self.alive_at = float("-inf")
        self.lost = False
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._renew, name=f"lease {name}", daemon=True)

    def acquire(self, timeout: float) -> None:
        """Raises TakenElsewhere after `timeout` seconds, Unreachable."""
        deadline, pause = _now() + timeout, 0.05
        seen, since = None, 0.0
        while True:
            record, found = self._look()
            if found != seen:
                seen, since = found, _now()
            if record is None or record.state == "free" or _now() - since >= record.lease_s:
                if self._write("held", found):
                    self.thread.start()
                    return
            elif _now() >= deadline:
                raise TakenElsewhere(record.owner.rpartition("/")[0])
            time.sleep(max(0.0, min(pause * random.uniform(0.5, 1), deadline - _now())))
            pause = min(1.0, 2 * pause)

    def check(self) -> None:
        """Raises LostClaim where our last sign of life is older than a lease, or somebody else wrote the object."""
        if self.lost or _now() - self.alive_at > self.lease_s:
            self.lost = True
            raise LostClaim(f"the claim {self.name} on {self.uri} was lost: its lease could not be renewed in time")

    def release(self) -> None:
        """Frees the lease where it is still ours. Where the store does not answer, it ends by itself."""
        self.stop.set()
        self.thread.join()
        try:
            if not self.lost:
                self._write("free", self.written)
        except Unreachable as error:
            logger.warning("%s stays held for %.0f s: %s", self.name, self.lease_s, error)

    def _renew(self) -> None:
        while not self.lost and not self.stop.wait(self.lease_s / 3):
            try:
                if not self._write("held", self.written):
                    self.lost = True
            except Unreachable as error:  # the next beat may go better; `check` knows how long that may take
                logger.warning("%s could not be renewed: %s", self.name, error)

    def _write(self, state: Literal["held", "free"], over: UpdateVersion | None) -> bool:
        """Puts our record in the place of the version `over` (None = of nothing); False where another is there, unless
        that is an earlier write of ours that landed late."""
        while True:
            self.beat += 1
            body = json.dumps(asdict(Record(self.owner, state, self.beat, self.lease_s))).encode()
            asked_at = _now()  # our lease counts from before others can see it
            try:
                with reachable(self.uri):
                    self.written = _version(obstore.put(self._bucket(), self.name, body, mode=over or "create"))
                self.alive_at = asked_at
                return True
            except (AlreadyExistsError, PreconditionError):
                record, over = self._look()
                if record is None or record.owner != self.owner:
                    return False
                if record.beat == self.beat:  # it is this very write, whose first answer did not reach us
                    self.written, self.alive_at = over, asked_at
                    return True

    def _look(self) -> tuple[Record | None, UpdateVersion | None]:
        """The record and the version of its object; None where there is none."""
        try:
            with reachable(self.uri):
                found = obstore.get(self._bucket(), self.name)
                data, version = found.bytes().to_bytes(), _version(found.meta)
        except FileNotFoundError:
            return None, None
        try:
            return Record(**json.loads(data)), version
        except (ValueError, TypeError):  # a foreign file: nobody renews it
            return Record("an unknown program/", "held", 0, LEASE_S), version

    def _bucket(self) -> ObjectStore:
        return bucket(self.uri, retry_s=self.lease_s / 3)


def _version(said: ObjectMeta | PutResult) -> UpdateVersion:
    """What a conditional write names: S3 and Azure tell versions by e_tag, Google by `version`."""
    version: UpdateVersion = {"e_tag": said["e_tag"]}
    return version if said["version"] is None else {**version, "version": said["version"]}


def _now() -> float:
    """Seconds on a clock that nobody sets and that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
