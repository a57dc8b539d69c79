"""The same code on a cluster by its address: fragments go to both nodes, and one of them is killed in the middle."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from lance_assets.compute.head import start_head, stop_head
from lance_assets_tests.fault_server import until
from lance_assets_tests.ray.labelled import FRAGMENTS, ROWS, complete, labelled
from lance_assets_tests.ray.observed import Log, Observed, Watched
from lance_assets_tests.tables import add_batch

#: `ray start --address` refuses a second node as long as 127.0.0.1 is to stay 127.0.0.1; Ray's own tests add theirs so.
NODE = """
import signal, sys
import lance_assets.compute
from ray._private.node import Node
from ray._private.parameter import RayParams
here = RayParams(gcs_address=sys.argv[1], node_ip_address="127.0.0.1", num_cpus=1, object_store_memory=100_000_000)
Node(here, head=False, shutdown_at_exit=False, spawn_reaper=False)
signal.pause()
"""


class Cluster:
    """A head with one core, and a second node with another."""

    def __init__(self, folder):
        self.record = folder / "head.json"
        self.address = start_head(self.record, 1, folder / "head.log").address
        with (folder / "node.log").open("wb") as log:
            self.node = subprocess.Popen([sys.executable, "-c", NODE, self.address], stdout=log, stderr=log)

    def raylets(self):
        import ray

        return sum(node["Alive"] for node in ray.nodes())

    def kill_node(self):
        """As a machine that loses power: all processes of the second node at once."""
        for process in [*psutil.Process(self.node.pid).children(recursive=True), psutil.Process(self.node.pid)]:
            process.kill()
        self.node.wait(30)

    def stop(self):
        if self.node.poll() is None:
            self.kill_node()
        stop_head(self.record)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    import ray  # after the settings that importing lance_assets.compute makes

    ray.shutdown()  # of the session's head, which other tests join again
    cluster = Cluster(tmp_path)
    try:
        ray.init(cluster.address, namespace="lance_assets", log_to_driver=False)
        until(lambda: cluster.raylets() == 2, 120)
        yield cluster
    finally:
        ray.shutdown()
        cluster.stop()


def test_a_node_that_dies_in_the_middle_costs_the_fragments_that_it_had_in_flight(root, tmp_path, cluster):
    from lance_assets.settings import Home

    log, home = Log(tmp_path), Home(tmp_path, tmp_path / "data")
    add_batch(root, "a", ROWS, fragments=FRAGMENTS)
    scorer = Observed(Watched(log=str(log.file), hold=str(log.hold)))
    with ThreadPoolExecutor(1) as pool:
        with log.held():
            pending = pool.submit(labelled, root, home, scorer)
            until(lambda: len({note["pid"] for note in log.notes("asked")}) == 2, 90)
            pids = {note["pid"] for note in log.notes("asked")}
            mine = {process.pid for process in psutil.Process(cluster.node.pid).children(recursive=True)}
            assert len(pids & mine) == 1, "one fragment was with each node"
            cluster.kill_node()
        done = pending.result(240)
    assert done.failure is None and done.calls == ROWS
    assert complete(root, scorer)
    assert set(log.rows("scored").values()) == {1}
    assert labelled(root, home, scorer, "again").calls == 0
