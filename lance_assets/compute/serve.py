"""Served scorers: one Ray Serve application per scorer, version and config, shared by all runs of a home.

An old and a new version have applications of their own and can serve side by side. Replicas come with the first request
and go when nobody asks; the application goes with its last user.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
from ray import serve
from ray.exceptions import ActorDiedError, ActorUnavailableError
from ray.serve.config import AutoscalingConfig, ProxyLocation
from ray.serve.context import _set_global_client
from ray.serve.handle import DeploymentHandle

from lance_assets.compute.replica import Replica
from lance_assets.compute.users import Users
from lance_assets.scoring.api import Scorer, Served
from lance_assets.scoring.passes import Scored

CALL_SECONDS = 600.0
#: A request that was with a replica when it died is sent again so often, to another one.
RESENT = 3
DEAD = (ActorDiedError, ActorUnavailableError)
#: Requests that a replica has at a time: one that is scored and what waits to be scored with the next.
ONGOING = 8
IDLE_SECONDS = 60.0
QUIET = {"log_level": "WARNING"}


@dataclass
class Asked:
    """A request under way. A dead replica costs a retry."""

    handle: DeploymentHandle
    rows: pa.Table
    response: Any

    def result(self) -> Scored:
        """Raises TimeoutError after CALL_SECONDS, and what the replica raised."""
        for _ in range(RESENT):
            try:
                return self.response.result(timeout_s=CALL_SECONDS)
            except DEAD:
                self.response = self.handle.score.remote(self.rows)
        return self.response.result(timeout_s=CALL_SECONDS)


@dataclass(frozen=True)
class ServedAsk:
    """Asks an application from inside a Ray task. Not to be called in a process that outlives its cluster: a handle
    that was used keeps a thread that starts or joins another one."""

    handle: DeploymentHandle

    def __call__(self, rows: pa.Table) -> Asked:
        return Asked(self.handle, rows, self.handle.score.remote(rows))


@contextmanager
def served(scorers: Mapping[str, Scorer], models: Path, users: Path) -> Iterator[dict[str, ServedAsk]]:
    """Ways to ask these scorers, for the length of the block. `models` is the folder of models, `users` one of this
    machine in which runs say which applications they use: the last one deletes an application, and a run that was
    killed counts no more.

    No HTTP proxy is started: calls go through handles inside the cluster.
    """
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    serve.start(proxy_location=ProxyLocation.Disabled)
    try:
        with ExitStack() as leaving:
            asks = {}
            for name, scorer in scorers.items():
                application = application_name(scorer, models)
                leaving.enter_context(Users(users, application).used(lambda gone=application: serve.delete(gone)))
                asks[name] = ServedAsk(_deployed(scorer, models, application))
            yield asks
    finally:
        # Ray keeps the way to this cluster's controller for the whole process; the next run may have another cluster.
        _set_global_client(None)


def application_name(scorer: Scorer, models: Path) -> str:
    """Of one scorer, version, config and home."""
    version = re.sub(r"[^A-Za-z0-9.]+", "-", scorer.version)
    home = sha256(str(models).encode()).hexdigest()[:6]
    return f"{scorer.name}-{version}-{scorer.config_hash()[:8]}-{home}"


def _deployed(scorer: Scorer, models: Path, application: str) -> DeploymentHandle:
    running = serve.status().applications.get(application)
    if running is not None and running.status == "RUNNING":
        return serve.get_app_handle(application)
    how = scorer.served or Served()
    deployment: Any = serve.deployment(
        Replica,
        name=scorer.name,
        ray_actor_options={"num_cpus": how.cpus, "num_gpus": how.gpus},
        max_ongoing_requests=ONGOING,
        autoscaling_config=AutoscalingConfig(
            min_replicas=0,
            initial_replicas=1,
            max_replicas=how.max_replicas,
            target_ongoing_requests=ONGOING / 2,
            upscale_delay_s=2.0,
            downscale_delay_s=IDLE_SECONDS,
            downscale_to_zero_delay_s=IDLE_SECONDS,
        ),
        health_check_period_s=5.0,
    )
    return serve.run(deployment.bind(scorer, models), name=application, route_prefix=None, logging_config=QUIET)
