"""Image batches: whole fragments, written in parallel, published by one atomic commit, never twice.

Replacing a batch keeps what did not change: fragments with the same rows stay as they are, and where only some rows of
a fragment changed the labels of the others are carried over, in the very commit that replaces the rows.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import lance
import pyarrow as pa
import pyarrow.compute as pc
from lance.file import LanceFileReader, LanceFileWriter
from lance.fragment import DataFile, FragmentMetadata

from lance_assets.errors import BadInput
from lance_assets.store import ledger
from lance_assets.store.carry import carried, rows_of
from lance_assets.store.claims import Held
from lance_assets.store.columns import Superseded
from lance_assets.store.files import DataRoot, in_large_pieces
from lance_assets.store.fragments import FragmentGone, fragment_at, image_file
from lance_assets.store.ledger import IMAGE, Intent
from lance_assets.store.objects import reachable, typed
from lance_assets.store.schema import IMAGES
from lance_assets.store.table import batch_fragments, commit, of_batch, open_images

#: Transaction property that names the run which wrote a version.
RUN = "lance_assets.run"


ROW_ADDRESS = "_rowaddr"


class MixedFragment(RuntimeError):
    """A fragment holds rows of two batches: somebody compacted across batches."""


@typed
def write_fragment(root: DataRoot, rows: Iterable[pa.RecordBatch]) -> list[str]:
    """Streams rows of schema IMAGES into a new image file; memory is one record batch. Nothing is visible until
    `replace_batch`. Returns the fragment as JSON, nothing where there were no rows. Raises BadInput for a row without
    an image."""
    dataset = open_images(root)
    name, count = f"{uuid.uuid4().hex}.lance", 0
    path = in_large_pieces(f"{dataset.uri}/data/{name}")
    writer: LanceFileWriter | None = None
    try:
        for batch in rows:
            _check_images(batch)
            if batch.num_rows:
                writer = writer or LanceFileWriter(path, IMAGES, version=dataset.data_storage_version)
                writer.write_batch(batch)
                count += batch.num_rows
    finally:
        if writer is not None:
            writer.close()
    return [_fragment(dataset, name, count)] if count else []


def _check_images(rows: pa.RecordBatch) -> None:
    """Raises BadInput: nothing downstream expects a row without a picture."""
    sizes = pc.fill_null(pc.call_function("binary_length", [rows["image"]]), 0)
    if (first := pc.index(sizes, 0).as_py()) >= 0:
        raise BadInput(f"row {rows['id'][first]} of batch {rows['batch'][0]} has no image: it belongs to the rejects")


def _fragment(dataset: lance.LanceDataset, name: str, rows: int) -> str:
    """A fragment as JSON, to be given its number by the commit."""
    return json.dumps(FragmentMetadata(id=0, files=[DataFile.create(dataset, name)], physical_rows=rows).to_json())


def fragment_file(fragment: str) -> str:
    """Name of the image file of a fragment as `write_fragment` gives it, without its ending."""
    return str(FragmentMetadata.from_json(fragment).files[0].path).removesuffix(".lance")


@typed
def announce(
    root: DataRoot,
    batch: str,
    fragment: str,
    digest: str,
    run_id: str,
    started: datetime,
    detail: str | None = None,
) -> None:
    """Writes a finished image file into the ledger, so that a rerun after a crash finds it by the digest of what it was
    made from. `detail` is handed back by `unfinished`."""
    metadata = FragmentMetadata.from_json(fragment)
    file, rows = str(metadata.files[0].path), metadata.physical_rows
    intent = Intent.of_images(batch, file, rows, run_id, started, digest, detail)
    ledger.append(root, [intent])


@typed
def unfinished(root: DataRoot, batch: str) -> dict[str, tuple[str, str | None]]:
    """Image files of this batch that a killed run had announced and not published: (fragment, detail) by digest.

    Only those that are newer than what the batch consists of now, whole and readable.
    """
    dataset = open_images(root)
    used = {image_file(dataset, fragment_at(dataset, number)) for number in batch_fragments(dataset, batch)}
    intents = [Intent.from_row(row) for row in ledger.read(root, batch).to_pylist() if row["column"] == IMAGE]
    newest = max((intent.planned for intent in intents if intent.planned_file in used), default=None)
    found: dict[str, tuple[str, str | None]] = {}
    for intent in intents:
        if intent.planned_file in used or (newest is not None and intent.planned < newest):
            continue
        try:
            with reachable(root.uri):
                rows = LanceFileReader(f"{dataset.uri}/data/{intent.planned_file}").num_rows()
        except (OSError, ValueError):  # cleaned up since: it is written again
            continue
        if rows == intent.rows_ok:
            found[intent.input_digest] = (_fragment(dataset, intent.planned_file, rows), intent.detail)
    return found


@typed
def replace_batch(
    root: DataRoot,
    batch: str,
    fragments: Sequence[str],
    properties: dict[str, str],
    held: Held | None = None,
    keep: Collection[int] = (),
) -> lance.LanceDataset:
    """Publishes a batch in one commit: an append the first time, later a replacement of what changed.

    Besides `fragments` the batch will consist of those numbers of the table that `keep` names. The caller holds the
    claim of the batch. Nothing is committed where nothing changed. Raises MixedFragment, GaveUp, LostClaim,
    FragmentGone where one to keep is no longer there, and Superseded where another writer stored the same new batch
    first (then ours is taken back).
    """
    new = [FragmentMetadata.from_json(fragment) for fragment in fragments]
    ours: list[FragmentMetadata] = []
    kept: list[int] = []

    def operation(dataset: lance.LanceDataset) -> lance.LanceOperation.BaseOperation | None:
        nonlocal ours, kept
        old = batch_fragments(dataset, batch)
        _check_unmixed(dataset, batch, old)
        if lost := set(keep) - set(old):
            raise FragmentGone(f"fragments {sorted(lost)} of batch {batch} were replaced while its rows were loaded")
        same, ours = _unchanged(dataset, [number for number in old if number not in keep], new)
        kept = [*keep, *same]
        gone = [number for number in old if number not in kept]
        if gone and ours:
            ours, intents = carried(root, dataset, batch, gone, ours)
            ledger.append(root, intents)
        if held is not None:
            held.check()
        if gone:
            return lance.LanceOperation.Update(removed_fragment_ids=gone, new_fragments=ours)
        return lance.LanceOperation.Append(ours) if ours else None

    _announce_others(root, batch, new, properties)
    dataset = open_images(root)
    dataset = commit(root, dataset.version, operation(dataset), properties, operation)
    _check_alone(root, dataset, batch, kept, [str(one.files[0].path) for one in ours], properties)
    return dataset


def _announce_others(root: DataRoot, batch: str, new: Sequence[FragmentMetadata], properties: dict[str, str]) -> None:
    """Ledger rows for the image files that were not announced when they were written."""
    files = {str(one.files[0].path): one.physical_rows for one in new}
    for file in ledger.read(root, batch, ["planned_file"])["planned_file"].to_pylist():
        files.pop(file, None)
    run_id = properties.get(RUN, "")
    ledger.append(root, [Intent.of_images(batch, file, rows, run_id, ledger.now()) for file, rows in files.items()])


def _check_unmixed(dataset: lance.LanceDataset, batch: str, numbers: Sequence[int]) -> None:
    for number in numbers:
        fragment = fragment_at(dataset, number)
        if fragment.count_rows() != fragment.count_rows(of_batch(batch)):
            raise MixedFragment(f"fragment {number} holds rows of batch {batch} and of another one")


def _unchanged(
    dataset: lance.LanceDataset, old: Sequence[int], new: Sequence[FragmentMetadata]
) -> tuple[list[int], list[FragmentMetadata]]:
    """Fragments that hold the very rows of a new one (images compared by digest), and the new ones that none holds."""
    columns = [name for name in IMAGES.names if name != IMAGE]
    stored = {number: rows_of(dataset, number, columns) for number in old}
    kept: list[int] = []
    changed: list[FragmentMetadata] = []
    for fragment in new:
        path = f"{dataset.uri}/data/{fragment.files[0].path}"
        rows = LanceFileReader(path, columns=columns).read_all().to_table().select(columns) if stored else None
        same = next((n for n, table in stored.items() if rows is not None and table.equals(rows)), None)
        if same is None:
            changed.append(fragment)
        else:
            kept.append(same)
            del stored[same]
    return kept, changed


def _check_alone(
    root: DataRoot,
    dataset: lance.LanceDataset,
    batch: str,
    kept: Sequence[int],
    ours: Sequence[str],
    properties: dict[str, str],
) -> None:
    """Two appends of one new batch do not conflict for Lance. Claims prevent them; should a claim have been lost in
    mid-commit, the writer that landed second takes its rows back."""
    numbers = batch_fragments(dataset, batch)
    mine = [number for number in numbers if image_file(dataset, fragment_at(dataset, number)) in ours]
    others = [number for number in numbers if number not in mine and number not in kept]
    if not mine or not others or min(others) > max(mine):
        return

    def take_back(newest: lance.LanceDataset) -> lance.LanceOperation.BaseOperation | None:
        left = [number for number in mine if newest.get_fragment(number) is not None]
        return lance.LanceOperation.Update(removed_fragment_ids=left, new_fragments=[]) if left else None

    commit(root, dataset.version, take_back(dataset), properties, take_back)
    raise Superseded(f"batch {batch} was stored by another writer at the same time: its rows stay, ours went")


def stored_rows(dataset: lance.LanceDataset, batch: str, columns: Sequence[str]) -> pa.Table:
    """Columns of a batch (no image), `_rowaddr` among them: what tells whether its captions changed."""
    names = [name for name in columns if name != ROW_ADDRESS]
    return dataset.scanner(columns=names, filter=of_batch(batch), with_row_address=True).to_table()
