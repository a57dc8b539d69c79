"""Claims: never two holders at once, whatever dies, sleeps or turns the clock."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import obstore
import pytest

from lance_assets.errors import Unreachable
from lance_assets.store import files
from lance_assets.store.claims import Busy, LostClaim, claim
from lance_assets.store.files import DataRoot
from lance_assets.store.objects import bucket
from lance_assets_tests.s3_server import s3_server

#: Short enough for a test, long enough for a busy machine to renew in.
LEASE_S = 3.0
LOCK = "locks/a.json"

HOLDER = """
import sys
from lance_assets.store.claims import LostClaim, claim
from lance_assets.store.files import DataRoot
with claim(DataRoot(sys.argv[1]), "a", lease_s=float(sys.argv[2])) as held:
    print("held", flush=True)
    for line in sys.stdin:
        try:
            held.check()
            print("ours", flush=True)
        except LostClaim as error:
            print(f"lost: {error}", flush=True)
"""

ADDER = """
import sys, time
from lance_assets.store import files
from lance_assets.store.claims import claim
root = files.DataRoot(sys.argv[1])
for _ in range(int(sys.argv[2])):
    with claim(root, "a"):
        count = int(files.read(root, "count"))
        time.sleep(0.01)  # room for another one to come between
        files.write(root, "count", str(count + 1).encode())
"""


class Holder:
    """A process that holds claim "a"."""

    def __init__(self, root: DataRoot) -> None:
        command = [sys.executable, "-c", HOLDER, root.uri, str(LEASE_S)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        assert self.stdout.readline() == "held\n"

    def check(self) -> str:
        """What `check` says there now."""
        self.stdin.write("\n")
        return self.stdout.readline()

    def end(self) -> int:
        self.stdin.close()
        return self.process.wait(60)


@contextmanager
def another_holder(root):
    holder = Holder(root)
    with holder.process:
        try:
            yield holder
        finally:
            holder.process.kill()


def lost_within(held, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            held.check()
        except LostClaim:
            return True
        time.sleep(0.05)
    return False


def test_a_claim_is_held_by_one_writer_at_a_time_and_others_are_told(root):
    with claim(root, "a") as held, pytest.raises(Busy, match="a is being written"), claim(root, "a", timeout=0.2):
        raise AssertionError("two writers held one claim")
    with claim(root, "a", timeout=0), claim(root, "b", timeout=0):
        held.check()


def test_a_claim_is_free_again_after_an_error_inside(root):
    with pytest.raises(KeyError), claim(root, "a"):
        raise KeyError
    with claim(root, "a", timeout=0) as held:
        held.check()


def test_of_many_who_start_at_once_one_at_a_time_holds(root):
    inside = []

    def work(number):
        with claim(root, "a", timeout=60) as held:
            inside.append(number)
            assert inside == [number]
            time.sleep(0.01)
            held.check()
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))


def test_processes_that_count_together_lose_no_count(root):
    files.write(root, "count", b"0")
    command = [sys.executable, "-c", ADDER, root.uri, "10"]
    children = [subprocess.Popen(command) for _ in range(3)]
    assert [child.wait(120) for child in children] == [0, 0, 0]
    assert files.read(root, "count") == b"30"


def test_a_killed_holder_keeps_others_out_no_longer_than_its_lease(root):
    with another_holder(root) as child:
        with pytest.raises(Busy), claim(root, "a", timeout=0.2):
            raise AssertionError("two writers held one claim")
        child.process.kill()
        died = time.monotonic()
        with claim(root, "a", timeout=60) as held:
            held.check()
            waited = time.monotonic() - died
    assert waited < (1 if root.is_local else LEASE_S + 10)


def test_a_holder_that_lives_keeps_others_out_for_longer_than_its_lease(s3_root):
    with another_holder(s3_root) as child:
        with pytest.raises(Busy), claim(s3_root, "a", timeout=2 * LEASE_S, lease_s=0.5):
            raise AssertionError("two writers held one claim")
        assert child.check() == "ours\n"


def test_a_holder_that_was_stopped_loses_the_claim_and_notices(s3_root):
    with another_holder(s3_root) as child:
        child.process.send_signal(signal.SIGSTOP)
        with claim(s3_root, "a", timeout=60, lease_s=LEASE_S) as held:
            child.process.send_signal(signal.SIGCONT)
            assert child.check().startswith("lost: the claim locks/a.json on s3://")
            assert child.end() == 0
            held.check()
            with pytest.raises(Busy), claim(s3_root, "a", timeout=0):
                raise AssertionError("the one that had lost the claim freed it")


def test_a_holder_whose_lease_somebody_overwrote_notices_and_leaves_theirs_alone(s3_root):
    with claim(s3_root, "a", lease_s=LEASE_S) as held:
        files.write_json(s3_root, LOCK, {"owner": "h/1/x", "state": "held", "beat": 1, "lease_s": 600})
        assert lost_within(held, 2 * LEASE_S)
    assert files.read_json(s3_root, LOCK)["owner"] == "h/1/x"


def test_a_holder_whose_store_went_away_loses_the_claim_once_its_lease_is_over():
    with s3_server() as own, claim(DataRoot(f"{own.uri}/went-away"), "a", lease_s=LEASE_S) as held:
        held.check()
        os.kill(own.pid, signal.SIGKILL)
        assert lost_within(held, 3 * LEASE_S)
        with pytest.raises(LostClaim):
            held.check()


def test_what_was_done_under_a_claim_is_not_failed_by_a_store_that_went_away_after_it():
    with s3_server() as own, claim(DataRoot(f"{own.uri}/went-away-later"), "a") as held:
        held.check()
        os.kill(own.pid, signal.SIGKILL)


@pytest.mark.parametrize("by_s", [-86_400, 86_400])
def test_a_jumped_wall_clock_changes_nothing(root, monkeypatch, by_s):
    """It jumps while one process waits for another's claim, and holds one of its own."""
    real = time.time
    with another_holder(root) as child, claim(root, "b", lease_s=LEASE_S) as held:
        start = time.monotonic()
        monkeypatch.setattr(time, "time", lambda: real() + (by_s if time.monotonic() - start > 1 else 0))
        with pytest.raises(Busy), claim(root, "a", timeout=2.5):
            raise AssertionError("two writers held one claim")
        assert child.check() == "ours\n"
        held.check()


def test_a_write_of_ours_whose_answer_was_lost_is_known_as_ours(s3_root, monkeypatch):
    """A client that asks again after a broken connection is told that the object has changed: by itself."""
    put = obstore.put

    def answer_lost(store, name, body, mode):
        put(store, name, body, mode=mode)
        return put(store, name, body, mode=mode)

    monkeypatch.setattr(obstore, "put", answer_lost)
    with pytest.raises(Busy), claim(s3_root, "a", timeout=0):
        monkeypatch.setattr(obstore, "put", put)
        with claim(s3_root, "a", timeout=0):
            raise AssertionError("two writers held one claim")
    with claim(s3_root, "a", timeout=0):
        pass


def test_a_foreign_file_in_the_place_of_a_lease_holds_until_it_was_seen_for_a_lease(s3_root):
    files.write(s3_root, LOCK, b"not a lease")
    with pytest.raises(Busy, match="an unknown program"), claim(s3_root, "a", timeout=0.2):
        raise AssertionError("a lease that cannot be read was taken as free")


def test_no_two_writes_of_a_lease_have_the_same_version(s3_root):
    versions = []
    for _ in range(3):
        with claim(s3_root, "a"):
            versions.append(obstore.head(bucket(s3_root.uri), LOCK)["e_tag"])
        versions.append(obstore.head(bucket(s3_root.uri), LOCK)["e_tag"])
    assert len(set(versions)) == 6


def test_a_claim_on_an_object_store_that_does_not_answer_says_so(s3):
    with pytest.raises(Unreachable, match="NoSuchBucket"), claim(DataRoot("s3://nobody-made-me"), "a"):
        raise AssertionError("held without a bucket")
