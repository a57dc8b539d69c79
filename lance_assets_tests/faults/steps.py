"""One step of a script, done to a root with the store's own functions: no Ray, no Dagster, scorers in this process."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial

import pyarrow as pa

from lance_assets.store import ledger
from lance_assets.store.batches import announce, replace_batch, unfinished, write_fragment
from lance_assets.store.claims import claim
from lance_assets.store.cleanup import cleanup
from lance_assets.store.columns import column_of, ensure_columns
from lance_assets.store.compact import compact
from lance_assets.store.files import DataRoot
from lance_assets.store.labelling import Job, Part, label_batch
from lance_assets.store.staleness import Identity
from lance_assets.store.table import ensure_images, of_batch, open_images
from lance_assets_tests.faults.script import ROWS, Row, Step
from lance_assets_tests.labels import Labeller
from lance_assets_tests.tables import image_rows

#: Work that costs something: called once before each image file is written and each fragment is scored.
Work = Callable[[str], None]

READS = {"sharp": ("image",), "words": ("messages",)}
#: What tells whether a batch is stored already.
TOLD_BY = ["id", "image_sha256", "messages"]


def perform(root: DataRoot, step: Step, work: Work) -> None:
    """Does a step, or what a killed process left of it. Raises what failed."""
    if step.kind in ("store", "replace"):
        _store(root, step, work)
    elif step.kind in ("label", "relabel"):
        _label(root, step, work)
    elif step.kind == "column":
        ensure_columns(root, {identity.column: identity.type for identity in identities(step)})
    elif step.kind == "compact":
        compact(root, rows_per_fragment=2 * ROWS)
    elif step.kind == "cleanup":
        cleanup(root, older_than=timedelta(0))
    else:
        ledger.merge(root)


def identities(step: Step) -> list[Identity]:
    """What the columns of a step claim to be."""
    return [
        Identity(column_of(name), name, version, "c0ffee", READS.get(name, ("image", "messages")))
        for name, version in step.scorers.items()
    ]


def logged(path: str, text: str) -> None:
    """One line, there for good before this returns."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{text}\n".encode())
    os.close(file)


def _store(root: DataRoot, step: Step, work: Work) -> None:
    ensure_images(root)
    with claim(root, step.batch) as held:
        slices = [_rows(step.batch, rows) for rows in step.slices]
        if _stored(root, step.batch, pa.concat_tables(slices)):
            return
        left = unfinished(root, step.batch)
        fragments: list[str] = []
        for rows in slices:
            digest = hashlib.sha256(repr(rows.select(TOLD_BY).to_pylist()).encode()).hexdigest()
            fragment = left[digest][0] if digest in left else None
            if fragment is None:
                started = ledger.now()
                work("slice")
                (fragment,) = write_fragment(root, rows.to_batches(max_chunksize=7))
                announce(root, step.batch, fragment, digest, "run", started)
            fragments.append(fragment)
        replace_batch(root, step.batch, fragments, {"lance_assets.run": "run"}, held)


def _rows(batch: str, rows: Sequence[Row]) -> pa.Table:
    """Rows of schema IMAGES. A row with another picture keeps its id."""
    table = pa.Table.from_batches([image_rows(batch, 1, number + 1000 * picture) for number, picture, _ in rows])
    ids = [f"{batch}/{number}" for number, _, _ in rows]
    said = [
        [{"role": "user", "content": "<image>Describe it."}, {"role": "assistant", "content": f"Number {n}, {words}."}]
        for n, _, words in rows
    ]
    for name, values in (("id", ids), ("messages", said)):
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))
    return table.combine_chunks()


def _stored(root: DataRoot, batch: str, rows: pa.Table) -> bool:
    there = open_images(root).to_table(columns=TOLD_BY, filter=of_batch(batch))
    return there.sort_by("id").equals(rows.select(TOLD_BY).sort_by("id"))


def _label(root: DataRoot, step: Step, work: Work) -> None:
    asked = identities(step)
    run = Labeller(root).jobs(asked)

    def counted(version: int, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Part] | Exception]]:
        for job in jobs:
            work("fragment")
            yield from run(version, [job])

    for outcome in label_batch(root, step.batch, asked, "run", counted):
        if outcome.error is not None:
            raise outcome.error


def logging_to(path: str) -> Work:
    """Work that leaves one line in a file."""
    return partial(logged, path)
