"""What the table says of duplicates: brought into the index, and what a training set went by."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import lance

from lance_assets.store import ledger
from lance_assets.store.columns import field_ids, owner
from lance_assets.store.duplicates import COLUMN, Keys, Kind, Picture
from lance_assets.store.duplicates_bands import DamagedRun
from lance_assets.store.duplicates_index import Index, index_folder
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import first_batch
from lance_assets.store.objects import in_one_line, reachable
from lance_assets.store.selection import TAG, latest_manifest
from lance_assets.store.table import of_batch, open_images, quoted
from lance_assets.store.versions import steady

Report = Callable[[str], None]
#: What says that files of the index are damaged.
DAMAGE = (sqlite3.DatabaseError, DamagedRun)
#: Rows that the index takes in at a time.
TAKEN = 20_000


class Unseen(RuntimeError):
    """Cells that are stored cannot be read, so nobody can say what is like them."""


@contextmanager
def stored(
    root: DataRoot, cache: Path, by: str, radius: int, without: Collection[int], report: Report
) -> Iterator[Index]:
    """The index below `cache`, holding exactly the cells that the newest table has of this making, but for those of
    the fragments `without`, which are made anew. Costs the fragments of the table and the rows of new column files.

    The caller holds the claim of the duplicates. Raises Unseen, Unreachable.
    """
    folder = index_folder(cache, root, by)
    try:
        index = _refreshed(folder, radius, root, by, without, report)
    except DAMAGE as error:
        if isinstance(error, sqlite3.OperationalError):  # a full disk, a locked file: making it anew would not help
            raise
        report(f"the index {folder} is damaged ({error}): it is made anew from the table")
        shutil.rmtree(folder)
        index = _refreshed(folder, radius, root, by, without, report)
    try:
        yield index
    except DAMAGE:
        shutil.rmtree(folder)  # the next pass makes it anew
        raise
    finally:
        index.close()


def _refreshed(folder: Path, radius: int, root: DataRoot, by: str, without: Collection[int], report: Report) -> Index:
    index = Index(folder, radius)
    try:
        refresh(root, open_images(root), index, by, without, report)
    except BaseException:
        index.close()
        raise
    return index


def refresh(
    root: DataRoot, dataset: lance.LanceDataset, index: Index, by: str, without: Collection[int], report: Report
) -> None:
    """See `stored`."""
    now = _files(dataset, without)
    known = set(index.files())
    for name in known - now.keys():
        index.drop(name)
    read: dict[str, list[tuple[bytes, Kind]]] = {}
    for name in (name for name in now if name not in known):
        try:
            with reachable(root.uri):
                read[name] = list(_kinds(dataset, now[name], by))
        except (OSError, ValueError) as error:
            where = f"{COLUMN} of fragment {now[name].fragment_id} cannot be read: {in_one_line(str(error))}"
            if not _marked(root, dataset, now[name]):
                raise Unseen(f"{where}; `lance-assets maintain verify` marks what is damaged") from error
            # It is compared with all others once it is made anew; until then no training set can be pinned.
            report(f"{where}; it waits for being labelled again")
        if sum(map(len, read.values())) >= TAKEN:
            index.take(read)
            read = {}
    index.take(read)


def _files(dataset: lance.LanceDataset, without: Collection[int]) -> dict[str, lance.LanceFragment]:
    """Fragments by what names the contents of their cells: the column file and how many rows are deleted."""
    if COLUMN not in dataset.schema.names:
        return {}
    field = field_ids(dataset, COLUMN)[0]
    found: dict[str, lance.LanceFragment] = {}
    for fragment in dataset.get_fragments():
        file = owner(fragment, field)
        if file is not None and fragment.fragment_id not in without:
            found[f"{file}-{fragment.num_deletions}"] = fragment
    return found


def _kinds(dataset: lance.LanceDataset, fragment: lance.LanceFragment, by: str) -> Iterator[tuple[bytes, Kind]]:
    """What the cells of a fragment say, by print. A row that repeats another is no `first` that others could name."""
    scanner = dataset.scanner(
        columns=["id", "image_sha256", COLUMN],
        filter=f"{COLUMN}.by = {quoted(by)}",
        fragments=[fragment],
        with_row_id=True,
    )
    for rows in scanner.to_batches():
        for row in rows.to_pylist():
            cell, hash = row[COLUMN], row[COLUMN]["hash"]
            one = Picture(row["id"], row["image_sha256"], row["_rowid"], bytes.fromhex(hash) if hash else None)
            kind = Kind(cell["low"], cell["high"])
            if cell["first"] is None:
                kind = Kind(cell["low"], cell["high"], one.id, one.sha256, one.row)
            yield one.print, kind


def _marked(root: DataRoot, dataset: lance.LanceDataset, fragment: lance.LanceFragment) -> bool:
    """Whether the ledger says that the cells of a fragment are damaged."""
    file = owner(fragment, field_ids(dataset, COLUMN)[0])
    batch = next(iter(first_batch(dataset, fragment)), None)
    known = {} if batch is None else ledger.history(ledger.read(root, batch))
    return any(intent.damaged for intent in known.get((COLUMN, file or ""), ()))


def pinned(root: DataRoot, batch: str, report: Report) -> dict[tuple[str, str], Keys]:
    """The group keys that the newest version of which a training set was pinned has for the rows of a batch, by (id,
    image_sha256), selected or not: what makes their side of the split. Nothing for rows that came later.

    The caller holds the claim of the duplicates, so that no training set is pinned meanwhile.
    """
    dataset, latest = open_images(root), latest_manifest(root)
    tags = {name: said["version"] for name, said in steady(dataset.tags.list).items() if name.startswith(TAG)}
    if latest is None and not tags:
        return {}
    if latest is None or latest["tag"] in tags:  # where somebody deleted it, all rows count as pinned
        dataset = open_images(root, max(tags.values()))
    try:
        with reachable(root.uri):
            return _keys(dataset, batch, COLUMN in dataset.schema.names)
    except (OSError, ValueError) as error:
        report(f"{COLUMN} of {batch} in version {dataset.version} cannot be read: {in_one_line(str(error))}")
        return _keys(dataset, batch, False)


def _keys(dataset: lance.LanceDataset, batch: str, grouped: bool) -> dict[tuple[str, str], Keys]:
    key = "coalesce({}, image_sha256)" if grouped else "image_sha256"
    columns = {"id": "id", "sha256": "image_sha256"}
    columns |= {name: key.format(f"{COLUMN}.{name}") for name in ("low", "high")}
    rows = dataset.to_table(columns=columns, filter=of_batch(batch)).to_pylist()
    return {(row["id"], row["sha256"]): (row["low"], row["high"]) for row in rows}
