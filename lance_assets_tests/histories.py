"""A table to which everything happened that a cell can live through, and who made its cells in truth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from lance_assets.store.batches import announce, replace_batch, write_fragment
from lance_assets.store.cells import Cells
from lance_assets.store.columns import CellState, ensure_columns
from lance_assets.store.files import DataRoot
from lance_assets.store.intents import Part
from lance_assets.store.labelling import Job
from lance_assets.store.ledger import now
from lance_assets.store.schema import IMAGES
from lance_assets.store.staleness import Identity
from lance_assets.store.table import batch_fragments, ensure_images
from lance_assets_tests.labels import SHARP, WORDS, Labeller, expected
from lance_assets_tests.tables import image_rows, picture

BATCH = "shots-0123abcd-0-10"
FAILS, CHANGES = f"{BATCH}/1", f"{BATCH}/7"
#: (run, files that the cell lay in, how it came there, newest first) of the cells of score_sharp, by row.
SHARP_MADE = {
    f"{BATCH}/0": ("first", ["kept", "computed"]),
    FAILS: ("second", ["computed"]),
    f"{BATCH}/5": ("first", ["kept", "carried", "computed"]),
    CHANGES: ("third", ["computed"]),
}
#: The same of score_words, for which nothing failed.
WORDS_MADE = {
    f"{BATCH}/0": ("first", ["computed"]),
    FAILS: ("first", ["computed"]),
    f"{BATCH}/5": ("first", ["kept", "carried", "computed"]),
    CHANGES: ("third", ["computed"]),
}


def eventful(root: DataRoot) -> Labeller:
    """Ten rows in two fragments: `first` labels them, row 1 fails in passing; `second` tries it again; then row 7 gets
    another picture, so that the second fragment is replaced; `third` labels row 7."""
    store(root, image_rows(BATCH, 10), "download")
    labeller = Labeller(root, cells=failing({FAILS}))
    labeller(BATCH, SHARP, WORDS, run_id="first")
    labeller.cells = None
    labeller(BATCH, SHARP, WORDS, run_id="second")
    store(root, with_other_picture(image_rows(BATCH, 10), CHANGES), "download again")
    labeller(BATCH, SHARP, WORDS, run_id="third")
    return labeller


def store(root: DataRoot, rows: pa.RecordBatch, run_id: str, fragments: int = 2) -> None:
    """Announces and publishes the rows of a batch in so many fragments."""
    ensure_images(root)
    batch, size = rows["batch"][0].as_py(), -(-rows.num_rows // fragments)
    parts = [part for at in range(fragments) for part in write_fragment(root, iter([rows.slice(at * size, size)]))]
    for part in parts:
        announce(root, batch, part, "digest", run_id, now())
    replace_batch(root, batch, parts, {})


def with_other_picture(rows: pa.RecordBatch, id: str) -> pa.RecordBatch:
    """The same rows, one with another image."""
    plain, other = rows.to_pylist(), picture(1000)
    for row in plain:
        if row["id"] == id:
            row |= {"image": other, "image_sha256": hashlib.sha256(other).hexdigest()}
    return pa.RecordBatch.from_pylist(plain, schema=IMAGES)


def scored(root: DataRoot, batch: str, identity: Identity, offsets: list[int] | None) -> Part:
    """A part of the batch's first fragment, staged and neither announced nor published."""
    dataset = ensure_columns(root, {identity.column: identity.type})
    job = Job(batch_fragments(dataset, batch)[0], {identity.column: None if offsets is None else np.array(offsets)})
    [(_, parts)] = Labeller(root).jobs([identity])(dataset.version, [job])
    if isinstance(parts, Exception):
        raise parts
    return parts[0]


def failing(ids: set[str], state: CellState = CellState.FAILED_TRANSIENT) -> Callable[[Identity, pa.Table], Cells]:
    """A scorer that scores as others do, but for these rows, of which it says `state`; only SHARP fails."""

    def cells(identity: Identity, rows: pa.Table) -> Cells:
        mine = [id in ids and identity.column == SHARP.column for id in rows["id"].to_pylist()]
        pairs = zip(rows["id"].to_pylist(), rows["image_sha256"].to_pylist(), strict=True)
        values = np.where(mine, np.nan, [expected(identity, *pair) for pair in pairs])
        return Cells.of(values, np.where(mine, int(state), int(CellState.OK)))

    return cells
