"""What a training ran in: code, packages, machine. Recorded beside the weights, compared when it is done again."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from lance_assets import __version__

#: Packages whose version can change a loss.
PACKAGES = (
    "llamafactory",
    "torch",
    "torchvision",
    "transformers",
    "tokenizers",
    "datasets",
    "accelerate",
    "peft",
    "pylance",
    "pillow",
    "numpy",
)
THREADS = "OMP_NUM_THREADS"


def environment() -> dict[str, Any]:
    """{"lance_assets", "commit": hash or None, "python", "packages": {name: version}, "machine", "threads"}."""
    installed = {one.metadata["Name"].lower(): one.version for one in metadata.distributions()}
    return {
        "lance_assets": __version__,
        "commit": code_commit(Path(__file__).parent),
        "python": platform.python_version(),
        "packages": {name: installed[name] for name in PACKAGES if name in installed},
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": os.environ.get(THREADS),
    }


def code_commit(folder: Path) -> str | None:
    """The git commit of a checkout, with "+changes" where files differ from it; None outside of one (also where the
    package is installed somewhere inside of another), or without git."""
    try:
        _git(folder, "ls-files", "--error-unmatch", ".")
        head, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+changes" if changes else "")


def _git(folder: Path, *words: str) -> str:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is not as it was, one line each; the commit is told by the caller, since any commit changes it."""
    return changes(*({**one.get("packages", {}), **_single(one)} for one in (then, now)))


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """One line for each value that differs, by name."""
    names = sorted({*before, *after})
    return [f"{name} {before.get(name)} -> {after.get(name)}" for name in names if before.get(name) != after.get(name)]


def _single(said: dict[str, Any]) -> dict[str, Any]:
    return {name: said.get(name) for name in ("python", "machine", "threads")}
