"""Images that come from no server: files under an allowed folder, and bytes out of a source's own file."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import Fetched, FetchError
from lance_assets.ingest.picture import fetched


def read_local(path: str, roots: Sequence[Path], limits: Limits) -> Fetched:
    """The image at a path that a stranger wrote down; a relative one is looked up under each root in turn.

    Where it really lies, with .. and links followed, must be under a root, and only regular files are opened.
    `final_url` is that place, relative to its root. Raises FetchError: path_not_allowed (whether or not there is such a
    file), file_missing, too_large, and what `checked_bytes` raises.
    """
    inside = _inside(path, [Path(os.path.realpath(root)) for root in roots])
    if not inside:
        raise FetchError("path_not_allowed", f"{_shown(path)} does not lie under a folder that is allowed")
    file, root = next((found for found in inside if os.path.lexists(found[0])), inside[0])
    return checked_bytes(_read(file, path, limits.max_bytes), limits, file.relative_to(root).as_posix())


def checked_bytes(data: bytes, limits: Limits, final_url: str = "") -> Fetched:
    """An encoded image that passed the checks of a download. `status` is 0: no server was asked. Raises FetchError."""
    if len(data) > limits.max_bytes:
        raise FetchError("too_large", f"{len(data)} bytes, {limits.max_bytes} allowed")
    return fetched(data, limits, final_url=final_url, status=0, attempts=1)


def _inside(path: str, roots: Sequence[Path]) -> list[tuple[Path, Path]]:
    """(real place, root) for each root that a path leads to a place under."""
    found: list[tuple[Path, Path]] = []
    for start in roots:
        try:
            place = Path(os.path.realpath(start / path))
        except (OSError, ValueError) as error:  # a NUL, half a surrogate pair
            raise FetchError("path_not_allowed", f"{_shown(path)} is not a path: {error}") from error
        found += [(place, root) for root in roots if place.is_relative_to(root)]
    return found


def _read(file: Path, path: str, max_bytes: int) -> bytes:
    """The bytes of a regular file: opening anything else may wait for ever, or do something."""
    try:
        said = os.lstat(file)
        if not stat.S_ISREG(said.st_mode):
            raise FetchError("path_not_allowed", f"{_shown(path)} is not a regular file")
        if said.st_size > max_bytes:
            raise FetchError("too_large", f"{said.st_size} bytes, {max_bytes} allowed")
        # what came into its place meanwhile is neither followed nor waited for
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            data = stream.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FetchError("file_missing", f"there is no file {_shown(path)}") from error
    except OSError as error:
        raise FetchError("path_not_allowed", f"{_shown(path)} cannot be read: {error.strerror or error}") from error
    if len(data) > max_bytes:
        raise FetchError("too_large", f"more than {max_bytes} bytes")
    return data


def _shown(path: str) -> str:
    return ascii(path) if len(path) <= 200 else f"{path[:200]!a}..."
