"""The only room that imports ray. Its own defaults listen on every interface, without a token, and report usage; Ray
reads these settings when it is imported, so they are made here, before any module of the room can import it."""

import os
import warnings

from lance_assets.settings import RAY_VARIABLE

LOOPBACK = "127.0.0.1"
#: Off, 127.0.0.1 stays 127.0.0.1; on (Ray's default), Ray silently resolves it to the address of the host.
LOOPBACK_SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def is_local(address: str | None) -> bool:
    """True for a private cluster (None) and for one on this machine's loopback."""
    return address is None or address.removeprefix("ray://").partition(":")[0] in (LOOPBACK, "localhost")


SAFE_ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what newer releases do; without it every start warns
    **({LOOPBACK_SWITCH: "0"} if is_local(os.environ.get(RAY_VARIABLE)) else {}),
}

for _name, _value in SAFE_ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

# Ray starts its processes by fork and exec; no forked child ever touches Lance.
warnings.filterwarnings("ignore", message="lance is not fork-safe", category=UserWarning)
