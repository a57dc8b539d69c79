"""Image tables of any number of batches in seconds: real Lance files and ledger rows, stored by one commit.

Images are a few random bytes, which no scorer of these benchmarks decodes. Each filler batch looks as a labelled batch
does after production wrote it: image files, a column file per fragment and score column, a ledger row for each file.
"""

from __future__ import annotations

import hashlib
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
from lance.fragment import DataFile, FragmentMetadata, write_fragments

from lance_assets.scoring.api import Item, Scorer, ScorerConfig
from lance_assets.store import ledger
from lance_assets.store.batches import replace_batch, write_fragment
from lance_assets.store.cells import Cells
from lance_assets.store.columns import column_of, ensure_columns, scorer_of
from lance_assets.store.files import DataRoot
from lance_assets.store.ledger import Intent
from lance_assets.store.schema import IMAGES
from lance_assets.store.staging import write_column
from lance_assets.store.table import commit, ensure_images, open_images, refresh_index

IMAGE_BYTES = 64


class Settings(ScorerConfig):
    """A number to move, so that every cell becomes stale again."""

    turn: int = 0


class NoOp(Scorer):
    """What a column claims to be; it is never called, see passes.Pass."""

    version, fields, description, Config = "1", ("image", "messages"), "no-op", Settings

    def score(self, items: Sequence[Item]) -> list[float]:
        raise NotImplementedError


class Light(NoOp):
    name = "light"


class Dark(NoOp):
    name = "dark"


COLUMNS = (column_of(Light.name), column_of(Dark.name))


def batch_key(number: int) -> str:
    """Key of a filler batch."""
    return f"filler-00000000-{number}-{number + 1}"


def tiny_rows(batch: str, rows: int, changed: Sequence[int] = ()) -> pa.Table:
    """Rows of schema IMAGES; those at `changed` have another image."""
    noise = np.random.default_rng(0)
    images = [noise.bytes(IMAGE_BYTES) for _ in range(rows)]
    for at in changed:
        images[at] = images[at][::-1]
    messages = [{"role": "user", "content": "<image>Describe it."}, {"role": "assistant", "content": "A picture."}]
    columns = {
        "id": [f"{batch}/{number}" for number in range(rows)],
        "batch": [batch] * rows,
        "messages": [messages] * rows,
        "image": images,
        "image_url": [f"http://127.0.0.1/{number}.png" for number in range(rows)],
        "image_sha256": [hashlib.sha256(image).hexdigest() for image in images],
        "width": [8] * rows,
        "height": [8] * rows,
        "format": ["PNG"] * rows,
        "caption_missing": [False] * rows,
        "is_placeholder": [False] * rows,
    }
    return pa.table(columns, schema=IMAGES)


def written(root: DataRoot, batch: str, rows: int, rows_per_fragment: int, changed: Sequence[int] = ()) -> list[str]:
    """The image files of a batch, not yet published, as `replace_batch` takes them."""
    table = tiny_rows(batch, rows, changed)
    starts = range(0, rows, rows_per_fragment)
    parts = [write_fragment(root, table.slice(at, rows_per_fragment).to_batches()) for at in starts]
    return [fragment for part in parts for fragment in part]


def add_batch(root: DataRoot, batch: str, rows: int, rows_per_fragment: int) -> None:
    """Stores an unlabelled batch as production does."""
    replace_batch(root, batch, written(root, batch, rows, rows_per_fragment), {})


def fill(
    root: DataRoot, batches: int, fragments: int, rows: int, columns: Sequence[str] = COLUMNS
) -> lance.LanceDataset:
    """An empty root becomes a table of labelled batches of `fragments` fragments of `rows` rows, with its ledger."""
    ensure_images(root)
    dataset = ensure_columns(root, dict.fromkeys(columns, pa.float32()))
    keys = [batch_key(number) for number in range(batches)]
    template = tiny_rows("", fragments * rows).drop_columns(["batch"])
    table = pa.concat_tables(
        [template.append_column("batch", pa.array([key] * template.num_rows)).select(IMAGES.names) for key in keys]
    )
    ids = [f"{key}/{number}" for key in keys for number in range(template.num_rows)]
    table = table.set_column(0, "id", pa.array(ids)).cast(IMAGES)
    written = write_fragments(table, dataset, mode="append", max_rows_per_file=rows)
    if not isinstance(written, list) or len(written) != batches * fragments:
        raise RuntimeError(f"{batches * fragments} fragments were wanted")
    labels = {column: _cell_file(root, dataset, column, rows) for column in columns}
    new: list[FragmentMetadata] = []
    intents: list[Intent] = []
    for number, fragment in enumerate(written):
        batch, files = keys[number // fragments], [*fragment.files]
        intents.append(_intent(ledger.IMAGE, batch, None, str(files[0].path), rows))
        for column, file in labels.items():
            files.append(_copy(root, file))
            intents.append(_intent(column, batch, number, str(files[-1].path), rows))
        new.append(FragmentMetadata(id=0, files=files, physical_rows=rows))
    ledger.append(root, intents)
    ledger.merge(root)
    operation = lance.LanceOperation.Append(new)
    commit(root, dataset.version, operation, {}, lambda newest: operation)
    refresh_index(root)
    return open_images(root)


def _cell_file(root: DataRoot, dataset: lance.LanceDataset, column: str, rows: int) -> DataFile:
    cells = Cells.of(np.full(rows, 50, np.float32), np.zeros(rows, np.uint8))
    return DataFile.create(dataset, write_column(root, dataset, column, cells)[0])


def _copy(root: DataRoot, file: DataFile) -> DataFile:
    name, data = f"{uuid.uuid4().hex}.lance", Path(root.images) / "data"
    shutil.copyfile(data / str(file.path), data / name)
    versions = (file.file_major_version, file.file_minor_version)
    return DataFile(name, file.fields, file.column_indices, *versions, file.file_size_bytes)


def _intent(column: str, batch: str, fragment: int | None, file: str, rows: int) -> Intent:
    name = "" if column == ledger.IMAGE else scorer_of(column)
    return Intent(
        column=column,
        batch=batch,
        fragment=fragment,
        planned_file=file,
        file_sha256=hashlib.sha256(file.encode()).hexdigest(),
        scorer=name,
        version=NoOp.version if name else "",
        config_hash=Settings().config_hash() if name else "",
        fields=NoOp.fields if name else (),
        input_digest=hashlib.sha256(batch.encode()).hexdigest(),
        rows_ok=rows,
        rows_failed_transient=0,
        rows_failed_permanent=0,
        rows_refused=0,
        read_version=1,
        run_id=str(uuid.uuid5(uuid.NAMESPACE_OID, batch)),
        started=ledger.now(),
        planned=ledger.now(),
    )
