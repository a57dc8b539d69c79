"""What a checkpoint was trained with besides its rows: code commit, packages, Python, machine, device."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import lance_assets

#: Packages whose release can change what a training makes.
PACKAGES = ("lance_assets", "llamafactory", "torch", "transformers", "accelerate", "peft", "trl", "pylance", "pillow")


def environment() -> dict[str, Any]:
    """Of this process, at the end of a training. Reads no variable, so that no key gets into it."""
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        **code(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": _device(),
    }


def code() -> dict[str, Any]:
    """`commit` of the package, None where it is neither a checkout nor installed from one; `changed` = the checkout
    held changes that no commit has."""
    checkout = Path(lance_assets.__file__).parent.parent
    if (checkout / ".git").exists():
        commit, status = _git(checkout, "rev-parse", "HEAD"), _git(checkout, "status", "--porcelain", "-uno")
        return {"commit": commit, "changed": None if status is None else bool(status)}
    said = _origin()
    return {"commit": said.get("vcs_info", {}).get("commit_id"), "changed": False if said else None}


def _git(checkout: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):  # no git here: then nobody knows
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _origin() -> dict[str, Any]:
    """Where pip installed the package from (PEP 610); empty where it did not say."""
    try:
        said = metadata.distribution("lance_assets").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return {}
    return json.loads(said) if said else {}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _device() -> str:
    """Of the training in this process: torch is there, or nothing was trained."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    return "CPU"
