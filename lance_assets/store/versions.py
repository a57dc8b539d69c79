"""Versions of the image table: tags that say why, and holds that keep a version while somebody reads it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import lance

from lance_assets.store.claims import Busy, Held, LostClaim, claim
from lance_assets.store.files import DataRoot
from lance_assets.store.objects import in_one_line, typed
from lance_assets.store.table import GaveUp, open_images

Result = TypeVar("Result")
logger = logging.getLogger(__name__)

#: Tag of the version that a writer of a batch works from; it counts while the claim of that batch is held.
HOLD = "hold-"


@typed
def tag(root: DataRoot, name: str, version: int, reason: str) -> None:
    """Protects a version from cleanup until the tag is deleted; an existing tag of that name moves."""
    dataset = open_images(root)
    _set(dataset, name, version)
    dataset.tags.replace_metadata(name, {"reason": reason})


def _set(dataset: lance.LanceDataset, name: str, version: int) -> None:
    try:
        dataset.tags.create(name, version)
    except (OSError, ValueError) as error:
        if "already exists" not in str(error):
            raise
        dataset.tags.update(name, version)


def made_at(dataset: lance.LanceDataset) -> datetime:
    """When a version was committed, in UTC."""
    said: Any = dataset.get_version()["timestamp"]  # Lance's own type says int, too
    return said.astimezone(UTC)


def steady(read: Callable[[], Result]) -> Result:
    """What Lance lists of the tags, or does after listing them. It reads them one by one, and fails where one went in
    between: then all is done again. Raises GaveUp."""
    for _ in range(100):
        try:
            return read()
        except (OSError, ValueError) as error:
            if "_refs/tags/" not in str(error):
                raise
    raise GaveUp("tags came and went a hundred times while they were listed")


@contextmanager
def hold(root: DataRoot, batch: str, held: Held | None = None) -> Iterator[lance.LanceDataset]:
    """The newest version, kept by a tag while the caller, who holds the claim of the batch, works from it."""
    dataset = _held(root, HOLD + batch)
    try:
        yield dataset
    finally:
        try:
            if held is not None:
                held.check()  # who has the claim now has the tag
            dataset.tags.delete(HOLD + batch)
        except (LostClaim, OSError, ValueError) as error:  # what the caller does, or raises, counts more
            logger.warning("%s stays until a cleanup: %s", HOLD + batch, in_one_line(str(error)))


def _held(root: DataRoot, name: str) -> lance.LanceDataset:
    """Cleanup may take a version between our opening and our tagging it: then the newest one is newer."""
    for _ in range(10):
        dataset = open_images(root)
        try:
            _set(dataset, name, dataset.version)
            return open_images(root, dataset.version)
        except (OSError, ValueError):
            if open_images(root).version == dataset.version:
                raise
    raise GaveUp(f"no version of {root.images} stayed long enough to be tagged")


def drop_dead_holds(root: DataRoot, timeout: float) -> list[str]:
    """Deletes the holds of writers that died. Returns the batches that are being written now."""
    dataset = open_images(root)
    busy: list[str] = []
    for name in steady(dataset.tags.list):
        if not name.startswith(HOLD):
            continue
        batch = name.removeprefix(HOLD)
        try:
            with claim(root, batch, timeout=timeout):
                if name in steady(dataset.tags.list):
                    dataset.tags.delete(name)
        except Busy:
            busy.append(batch)
    return busy
