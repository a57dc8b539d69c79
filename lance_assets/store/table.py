"""images.lance: opening, creating, finding the fragments of a batch, and committing with typed conflicts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import lance
from lance.commit import CommitConflictError

from lance_assets.errors import BadInput
from lance_assets.store.files import DataRoot, claim, table_exists
from lance_assets.store.schema import IMAGES

#: 2.1 with blob-encoded images scans 4-8 times faster than the default encoding of 2.2 (measured).
STORAGE_VERSION = "2.1"
FORMAT_KEY = "lance_assets.format"
FORMAT = "1"


class GaveUp(RuntimeError):
    """A commit lost against other writers too many times; nothing was published."""


def exists(root: DataRoot) -> bool:
    return table_exists(root.images)


def open_images(root: DataRoot, version: int | str | None = None) -> lance.LanceDataset:
    """The table at a version, tag, or its newest version. Raises BadInput where there is none, or of another format."""
    if not exists(root):
        raise BadInput(f"there is no image table at {root.images} yet: materialize image_dataset first")
    dataset = lance.dataset(root.images, version=version)
    found = (dataset.schema.metadata or {}).get(FORMAT_KEY.encode(), b"").decode()
    if found != FORMAT:
        raise BadInput(f"{root.images} has format {found or 'unknown'}; this release reads format {FORMAT}")
    return dataset


def ensure_images(root: DataRoot) -> lance.LanceDataset:
    """Opens the table, creating it empty (with its index on `batch`) the first time."""
    with claim(root, "images.lance"):
        if not exists(root):
            schema = IMAGES.with_metadata({FORMAT_KEY: FORMAT})
            root.path.mkdir(parents=True, exist_ok=True)
            lance.write_dataset(
                schema.empty_table(),
                root.images,
                mode="create",
                data_storage_version=STORAGE_VERSION,
                enable_stable_row_ids=True,
            )
        dataset = open_images(root)
        if not dataset.list_indices():
            dataset.create_scalar_index("batch", "BITMAP")
    return open_images(root)


def refresh_index(root: DataRoot) -> None:
    """Lets the index on `batch` cover the fragments that came since: without it, finding a batch scans them all."""
    with claim(root, "images.lance"):
        open_images(root).optimize.optimize_indices()


def of_batch(batch: str) -> str:
    """Lance SQL that selects one batch."""
    return f"batch = '{batch.replace(chr(39), chr(39) * 2)}'"


def batch_fragments(dataset: lance.LanceDataset, batch: str) -> list[int]:
    """Ids of the fragments of a batch, sorted. Truth is the `batch` column, found through its index."""
    found = dataset.scanner(columns=["batch"], filter=of_batch(batch), with_row_address=True).to_table()
    return sorted({address >> 32 for address in found["_rowaddr"].to_pylist()})


def commit(
    root: DataRoot,
    version: int,
    operation: lance.LanceOperation.BaseOperation,
    properties: dict[str, str],
    recheck: Callable[[lance.LanceDataset], lance.LanceOperation.BaseOperation],
    tries: int = 60,
) -> lance.LanceDataset:
    """Commits `operation`, planned at `version`. On a conflict `recheck` sees the newest table and gives the operation
    for it, or raises a typed outcome. Raises GaveUp after `tries` conflicts."""
    for attempt in range(tries):
        transaction = lance.Transaction(version, operation, transaction_properties=properties)
        try:
            return lance.LanceDataset.commit(root.images, transaction)
        except (CommitConflictError, OSError) as error:
            if not _landed_first(error):
                raise
        time.sleep(random.uniform(0, 0.02 * 2 ** min(attempt, 6)))
        newest = open_images(root)
        operation, version = recheck(newest), newest.version
    raise GaveUp(f"{tries} conflicts in a row on {root.images}")


def _landed_first(error: Exception) -> bool:
    """True where another writer landed first, or where cleanup removed the version that we planned at."""
    if isinstance(error, CommitConflictError):
        return True
    return "_versions" in str(error) and "not found" in str(error).lower()
