"""images.lance: opening, creating, finding the fragments of a batch, and committing with typed conflicts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import cache

import lance
import numpy as np
from lance.commit import CommitConflictError
from lance.lance import _Session as Session

from lance_assets.errors import BadInput
from lance_assets.store.claims import claim
from lance_assets.store.files import DataRoot, table_exists
from lance_assets.store.objects import reachable, typed
from lance_assets.store.schema import IMAGES

#: 2.1 with blob-encoded images scans 4-8 times faster than the default encoding of 2.2 (measured).
STORAGE_VERSION = "2.1"
FORMAT_KEY = "lance_assets.format"
FORMAT = "2"
#: Formats whose rows this release reads at a pinned version (a training set of then); it writes only FORMAT.
READABLE = ("1", FORMAT)
#: So many fragments are found by scanning their `batch` column before the index is renewed.
UNINDEXED = 64
#: What a process keeps in memory of tables, at most: parts of indices; manifests and footers of files.
INDEX_BYTES, METADATA_BYTES = 512 << 20, 256 << 20


class GaveUp(RuntimeError):
    """A commit lost against other writers too many times; nothing was published."""


def exists(root: DataRoot) -> bool:
    return table_exists(root.images)


def open_images(root: DataRoot, version: int | str | None = None) -> lance.LanceDataset:
    """The table at a version, tag, or its newest version. Raises BadInput where there is none, or of another format."""
    if not exists(root):
        raise BadInput(f"there is no image table at {root.images} yet: materialize image_dataset first")
    with reachable(root.uri):
        dataset = lance.dataset(root.images, version=version, session=session())
    found = format_of(dataset)
    if found == FORMAT or (version is not None and found in READABLE):
        return dataset
    if found in READABLE:
        raise BadInput(
            f"{root.images} has format {found}, this release writes {FORMAT}: "
            "`lance-assets maintain migrate` changes it in place, no image is rewritten"
        )
    raise BadInput(
        f"{root.images} has format {found or 'unknown'}, this release knows {', '.join(READABLE)}: "
        "a newer release of lance_assets made it"
    )


@cache
def session() -> Session:
    """What this process has read of tables: opening one that did not change since does not read its manifest again.

    Lance looks up the newest version each time and keeps manifests by e_tag, so that nobody sees an old table, nor one
    that was deleted and made anew at the same place (measured with pylance 14, on a folder and on S3).
    """
    return Session(index_cache_size_bytes=INDEX_BYTES, metadata_cache_size_bytes=METADATA_BYTES)


def format_of(dataset: lance.LanceDataset) -> str:
    """The format that a version of the table was written in; empty where it does not say."""
    return (dataset.schema.metadata or {}).get(FORMAT_KEY.encode(), b"").decode()


@typed
def ensure_images(root: DataRoot) -> lance.LanceDataset:
    """Opens the table, creating it empty (with its index on `batch`) the first time."""
    with claim(root, "images.lance"):
        if not exists(root):
            schema = IMAGES.with_metadata({FORMAT_KEY: FORMAT})
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


@typed
def refresh_index(root: DataRoot) -> None:
    """Lets the index on `batch` cover the fragments that came since, once there are UNINDEXED of them: finding a batch
    scans those that it lacks, and renewing it costs the more the more batches there are."""
    with claim(root, "images.lance"):
        dataset = open_images(root)
        [index] = dataset.list_indices()
        known = set(index["fragment_ids"])
        if sum(one.fragment_id not in known for one in dataset.get_fragments()) >= UNINDEXED:
            dataset.optimize.optimize_indices()


def quoted(text: str) -> str:
    """A string in Lance SQL."""
    return "'" + text.replace("'", "''") + "'"


def of_batch(batch: str) -> str:
    """Lance SQL that selects one batch."""
    return f"batch = {quoted(batch)}"


def batch_fragments(dataset: lance.LanceDataset, batch: str) -> list[int]:
    """Ids of the fragments of a batch, sorted. Truth is the `batch` column, found through its index."""
    found = dataset.scanner(columns=[], filter=of_batch(batch), with_row_address=True).to_table()
    return np.unique(found["_rowaddr"].to_numpy() >> 32).tolist()


Planned = lance.LanceOperation.BaseOperation | None


@typed
def commit(
    root: DataRoot,
    version: int,
    operation: Planned,
    properties: dict[str, str],
    recheck: Callable[[lance.LanceDataset], Planned],
    tries: int = 60,
) -> lance.LanceDataset:
    """Commits `operation`, planned at `version`; None = there is nothing to do. On a conflict `recheck` sees the newest
    table and gives the operation for it, or raises a typed outcome. Raises GaveUp after `tries` conflicts."""
    for attempt in range(tries):
        if operation is None:
            return open_images(root)
        transaction = lance.Transaction(version, operation, transaction_properties=properties)
        try:
            # Given a path instead of a table, Lance would read the manifest once more for each commit.
            return lance.LanceDataset.commit(lance.dataset(root.images, session=session()), transaction)
        except (CommitConflictError, OSError) as error:
            if not landed_first(error):
                raise
        time.sleep(random.uniform(0, 0.02 * 2 ** min(attempt, 6)))
        newest = open_images(root)
        operation, version = recheck(newest), newest.version
    raise GaveUp(f"{tries} conflicts in a row on {root.images}")


def landed_first(error: Exception) -> bool:
    """True where another writer landed first (compaction says so in a plain OSError), or where cleanup removed the
    version that we planned at."""
    if isinstance(error, CommitConflictError) or "commit conflict" in str(error).lower():
        return True
    return "_versions" in str(error) and "not found" in str(error).lower()
