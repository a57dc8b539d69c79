"""The Ray resource: a small private cluster on loopback, or a join of one that lives elsewhere.

Assets annotate dagster-ray's RayResource, so that its KubeRay backends can take this one's place.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import Any

from dagster_ray import RayResource
from pydantic import Field

from lance_assets.compute import LOOPBACK, LOOPBACK_SWITCH, is_local
from lance_assets.errors import BadInput
from lance_assets.settings import RAY_VARIABLE

NAMESPACE = "lance_assets"

#: Images never travel through the object store (only captions, scores and Serve requests), so it can be small.
OBJECT_STORE_BYTES = 512 * 1024**2
JOIN_SECONDS = 5.0


class RayCluster(RayResource):
    """`address` None = a private cluster that ends with the run; host:port or ray://host:port = join, then leave."""

    address: str | None = Field(default=None, description="host:port or ray://host:port of a cluster to join")
    num_cpus: int = Field(default=2, description="size of the private cluster; never sent when joining")

    @property
    def host(self) -> str:
        return LOOPBACK

    @property
    def name(self) -> str:
        return f"Ray at {self.address}" if self.address else "private Ray"

    @property
    def created(self) -> bool:
        return True

    @property
    def ready(self) -> bool:
        return True

    def connect(self, context: Any) -> Any:
        """Raises BadInput when the address to join does not answer within 5 seconds."""
        if self.address:
            probe(self.address)
        if not is_local(self.address) and os.environ.get(LOOPBACK_SWITCH) == "0":
            raise BadInput(
                f"ray.address {self.address} is another machine: name it by {RAY_VARIABLE}, which Ray sees in time"
            )
        import ray

        own: dict[str, Any] = {}
        if not self.address:
            own = {
                "num_cpus": self.num_cpus,
                "include_dashboard": False,
                "object_store_memory": OBJECT_STORE_BYTES,
                "_node_ip_address": LOOPBACK,
            }
        self._context = ray.init(
            self.address or "local",
            namespace=NAMESPACE,
            ignore_reinit_error=True,
            log_to_driver=False,
            logging_level=logging.WARNING,
            **{**own, **self.ray_init_options},
        )
        _quiet_ray_data()
        return self._context

    def on_connect(self, context: Any) -> None:
        context.log.info(f"connected to {self.display_name}")

    def on_cleanup(self, context: Any, *, deleted: bool) -> None:
        context.log.info(f"left {self.display_name}")


def probe(address: str) -> None:
    """A client that waits for a dead head waits for minutes: knock first. Raises BadInput when nobody answers."""
    host, _, port = address.removeprefix("ray://").partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=JOIN_SECONDS).close()
    except (OSError, ValueError) as error:
        raise BadInput(f"no Ray answers at {address} (ray.address): {error}") from error


def _quiet_ray_data() -> None:
    """Progress belongs into the run log, in our words; Ray Data keeps its own in its session folder."""
    import ray.data

    settings = ray.data.DataContext.get_current()
    settings.enable_progress_bars = False
    settings.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
