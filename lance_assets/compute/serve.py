"""Served scorers: one Ray Serve application per scorer and model, called with encoded images as Arrow."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from ray import serve
from ray.serve.config import ProxyLocation
from ray.serve.context import _set_global_client
from ray.serve.handle import DeploymentHandle

from lance_assets.compute.fragment import items_of
from lance_assets.scoring.api import Scored, Scorer, score_items

CALL_SECONDS = 300.0
QUIET = {"log_level": "WARNING"}


class Replica:
    """Holds a scorer with its model, loaded once and shared by all label tasks."""

    def __init__(self, scorer: Scorer) -> None:
        _listen_on_loopback_only()
        self.scorer = scorer

    def score(self, rows: pa.Table) -> Scored:
        return score_items({self.scorer.name: self.scorer}, items_of(rows))[self.scorer.name]


class ServedCall:
    """Scores by asking the application; travels into Ray tasks."""

    def __init__(self, handle: DeploymentHandle) -> None:
        self.handle = handle

    def __call__(self, scorers: Mapping[str, Scorer], rows: pa.Table) -> dict[str, Scored]:
        (name,) = scorers
        return {name: self.handle.score.remote(rows).result(timeout_s=CALL_SECONDS)}


@contextmanager
def served(scorer: Scorer, run_id: str) -> Iterator[ServedCall]:
    """Deploys a scorer that holds its model, for the length of the block.

    The name holds the run, so that runs on a shared cluster never delete each other's application. No HTTP proxy is
    started: calls go through handles inside the cluster.
    """
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    serve.start(proxy_location=ProxyLocation.Disabled)
    name = f"{scorer.name}-{scorer.config_hash()[:8]}-{run_id[:8]}"
    deployment: Any = serve.deployment(
        Replica, name=scorer.name, num_replicas=1, ray_actor_options={"num_cpus": 0}, max_ongoing_requests=8
    )
    handle = serve.run(deployment.bind(scorer), name=name, route_prefix=None, logging_config=QUIET)
    try:
        yield ServedCall(handle)
    finally:
        serve.delete(name)
        # Ray keeps the way to this cluster's controller for the whole process; the next run may have another cluster.
        _set_global_client(None)


def _listen_on_loopback_only() -> None:
    """Ray Serve 2.55 opens a replica's gRPC port on every interface and has no switch for it (ray/serve/_private/
    replica.py adds the port "[::]:0"). Runs in the replica's own process, before that port is opened."""
    from grpc.aio._server import Server

    plain = Server.add_insecure_port

    def on_loopback(self: Server, address: str) -> int:
        return plain(self, address.replace("[::]:", "127.0.0.1:"))

    Server.add_insecure_port = on_loopback
