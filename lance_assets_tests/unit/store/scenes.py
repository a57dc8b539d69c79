"""Short ways to set a scene in the store, to let somebody interfere, and to look at what lies there."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import lance
import numpy as np
import pyarrow as pa
from lance.file import LanceFileWriter
from lance.fragment import DataFile

from lance_assets.store.batches import replace_batch, write_fragment
from lance_assets.store.cells import Cells
from lance_assets.store.claims import Held
from lance_assets.store.columns import CellState, state_of
from lance_assets.store.files import DataRoot, listing, read
from lance_assets.store.staging import Staged, stage
from lance_assets.store.staleness import Identity, stale_cells
from lance_assets.store.table import ensure_images, open_images
from lance_assets_tests.labels import expected
from lance_assets_tests.tables import image_rows, picture

OK, TRANSIENT, PERMANENT, REFUSED = (int(state) for state in CellState)
cached_picture = cache(picture)


@dataclass(frozen=True)
class Row:
    """A row of a batch; `image` is the seed of its picture, its number where None."""

    number: int
    image: int | None = None
    words: str = "A picture."
    url: str = "http://example.org/"


def rows_of(batch: str, rows: Sequence[Row]) -> pa.RecordBatch:
    """Rows of schema IMAGES."""
    images = [cached_picture(row.number if row.image is None else row.image) for row in rows]
    wanted = {
        "id": [f"{batch}/{row.number}" for row in rows],
        "batch": [batch] * len(rows),
        "messages": [[{"role": "assistant", "content": row.words}] for row in rows],
        "image": images,
        "image_url": [row.url for row in rows],
        "image_sha256": [hashlib.sha256(image).hexdigest() for image in images],
    }
    like = image_rows(batch, 1)
    columns = {name: wanted.get(name, like[name].to_pylist() * len(rows)) for name in like.schema.names}
    return pa.record_batch(columns, schema=like.schema)


def written(root: DataRoot, batch: str, *slices: Sequence[Row]) -> list[str]:
    """Fragments, written and not stored yet, one for each slice."""
    ensure_images(root)
    return [one for rows in slices for one in write_fragment(root, iter([rows_of(batch, rows)]))]


def store(root: DataRoot, batch: str, *slices: Sequence[Row], held: Held | None = None) -> lance.LanceDataset:
    """Stores a batch in one fragment for each slice, or replaces it."""
    return replace_batch(root, batch, written(root, batch, *slices), {}, held)


def numbered(count: int, first: int = 0) -> list[Row]:
    return [Row(number) for number in range(first, first + count)]


class Meanwhile(Held):
    """A claim at whose check, right before a commit, others land first: one of `lands` at each commit."""

    def __init__(self, *lands: Callable[[], object]) -> None:
        super().__init__("test")
        self.lands = list(lands)

    def check(self) -> None:
        if self.lands:
            self.lands.pop(0)()


def staged(root: DataRoot, number: int, column: str, value: float) -> Staged:
    """The same value for each row of a fragment of the newest table."""
    dataset = open_images(root)
    fragment = dataset.get_fragment(number)
    assert fragment is not None
    rows = fragment.count_rows()
    return stage(root, dataset, number, column, Cells.of(np.full(rows, value), np.zeros(rows)))


def raw_file(root: DataRoot, columns: Mapping[str, pa.Array], version: str | None = None) -> str:
    """A data file of the image table, written as given. Its name."""
    table, dataset, name = pa.table(dict(columns)), open_images(root), f"{uuid.uuid4().hex}.lance"
    version = version or dataset.data_storage_version
    with LanceFileWriter(f"{root.images}/data/{name}", table.schema, version=version) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)
    return name


def raw_commit(root: DataRoot, number: int, file: DataFile) -> lance.LanceDataset:
    """Lets a file answer for its columns in a fragment without any check of ours."""
    group = lance.LanceOperation.DataReplacementGroup(number, file)
    operation = lance.LanceOperation.DataReplacement([group])
    return lance.LanceDataset.commit(root.images, lance.Transaction(open_images(root).version, operation))


def values(root: DataRoot, column: str) -> dict[str, object]:
    """Values of a column by row id; no id is there twice."""
    return {row: value for row, (value, _) in cells(root, column).items()}


def states(root: DataRoot, column: str) -> dict[str, object]:
    """States of a column by row id."""
    return {row: state for row, (_, state) in cells(root, column).items()}


def cells(root: DataRoot, column: str) -> dict[str, tuple[object, int | None]]:
    """(value, state) of a column by row id; no id is there twice."""
    table = open_images(root).to_table(columns=["id", column, state_of(column)])
    rows = list(zip(*(table[name].to_pylist() for name in table.schema.names), strict=True))
    found = {row: (value, state) for row, value, state in rows}
    assert len(found) == len(rows)
    return found


def right(root: DataRoot, *identities: Identity) -> dict[str, dict[str, float]]:
    """By column: what each row of the table ought to hold."""
    table = open_images(root).to_table(columns=["id", "image_sha256"])
    pairs = list(zip(table["id"].to_pylist(), table["image_sha256"].to_pylist(), strict=True))
    return {one.column: {row: float(np.float32(expected(one, row, sha))) for row, sha in pairs} for one in identities}


def reasons(root: DataRoot, batch: str, *identities: Identity) -> list[str]:
    """Why cells of a batch are stale, in (fragment, column) order."""
    return [cell.reason for cell in stale_cells(root, open_images(root), batch, identities)]


def data_files(root: DataRoot, *tables: str) -> dict[str, tuple[int, str]]:
    """Bytes and SHA-256 of the data files of tables (the image table), by name."""
    found: dict[str, tuple[int, str]] = {}
    for folder in [f"{table}/data" for table in tables or ("images.lance",)]:
        for name, size, _ in listing(root, folder):
            found[f"{folder}/{name}"] = size, hashlib.sha256(read(root, f"{folder}/{name}")).hexdigest()
    return found


def scoring(failing: Mapping[str, int], seen: list[str] | None = None) -> Callable[[Identity, pa.Table], Cells]:
    """For a Labeller: rows whose id is in `failing` get that state. Ids scored are added to `seen`."""

    def score(identity: Identity, rows: pa.Table) -> Cells:
        ids = rows["id"].to_pylist()
        if seen is not None:
            seen.extend(ids)
        pairs = zip(ids, rows["image_sha256"].to_pylist(), strict=True)
        given = [expected(identity, *pair) for pair in pairs]
        return Cells.of(np.array(given), np.array([failing.get(row, OK) for row in ids], np.uint8))

    return score


def fragments(root: DataRoot) -> Iterator[tuple[int, list[str]]]:
    """Number and data files of each fragment."""
    for fragment in open_images(root).get_fragments():
        yield fragment.fragment_id, [str(file.path) for file in fragment.data_files()]
