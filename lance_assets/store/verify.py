"""Verification: every file that the table refers to is there, readable, of the right length and type, and explained.

Lance's own `validate()` misses wrong types and files that are too long only show there (measured with pylance 14); here
each finding names the file and the cells to relabel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import lance
import numpy as np
from lance.file import LanceFileReader
from lance.fragment import DataFile

from lance_assets.store import ledger
from lance_assets.store.cells import state_numbers
from lance_assets.store.columns import column_file, field_ids, score_columns, state_of
from lance_assets.store.files import DataRoot, listing
from lance_assets.store.fragments import DATA, Used, by_batch, fragment_at, image_file
from lance_assets.store.ledger import IMAGE, History, Intent, by_state
from lance_assets.store.objects import in_one_line, reachable, typed
from lance_assets.store.staging import alive_offsets, checksum
from lance_assets.store.table import open_images


@dataclass(frozen=True)
class Problem:
    """`kind`: unreadable, short, long, wrong_type, changed, unexplained, miscounted, wrong_image, mixed or duplicate.
    `column` is None where the images themselves are hurt; otherwise the cells of that fragment are to be relabelled."""

    kind: str
    batch: str
    fragment: int
    file: str
    column: str | None
    detail: str


@dataclass(frozen=True)
class Orphan:
    """A file below data/ that no version refers to. `announced` = the ledger names it, so cleanup may delete it."""

    file: str
    bytes: int
    announced: bool


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what was found. Orphans cost room and nothing else."""

    fragments: int
    files: int
    problems: list[Problem] = field(default_factory=list)
    orphans: list[Orphan] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not self.problems


@typed
def verify(root: DataRoot, deep: bool = False) -> Verified:
    """Looks at every file of the newest version; `deep` also reads every image and compares its digest. Changes
    nothing."""
    dataset = open_images(root)
    rows = ledger.read(root)
    known = ledger.history(rows)
    problems: list[Problem] = []
    files = 0
    for batch, numbers in by_batch(dataset, known).items():
        ids: set[str] = set()
        for number in numbers:
            fragment = fragment_at(dataset, number)
            files += len(fragment.data_files())
            found = list(_fragment(root, dataset, batch, fragment, known))
            if not any(problem.column is None for problem in found):
                found += _rows(dataset, batch, fragment, ids, deep)
            problems += found
    announced = set(rows["planned_file"].to_pylist())
    used = Used(root).now()
    orphans = [Orphan(name, size, name in announced) for name, size, _ in listing(root, DATA) if name not in used]
    return Verified(len(dataset.get_fragments()), files, problems, sorted(orphans, key=lambda one: one.file))


def relabel(root: DataRoot, problems: Sequence[Problem]) -> int:
    """Writes into the ledger which cells are damaged, so that the next labelling pass scores exactly these again.
    Returns how many (fragment, column) there are; images that are hurt are not among them."""
    hurt = {(one.column, one.batch, one.fragment, one.file): one for one in problems if one.column is not None}
    ledger.append(
        root,
        [
            Intent.of_damage(column, batch, number, file, f"{one.kind}: {one.detail}")
            for (column, batch, number, file), one in hurt.items()
            if column is not None
        ],
    )
    return len(hurt)


def _fragment(
    root: DataRoot, dataset: lance.LanceDataset, batch: str, fragment: lance.LanceFragment, known: History
) -> Iterator[Problem]:
    number, images = fragment.fragment_id, image_file(dataset, fragment)
    owners = {column: column_file(dataset, fragment, column) for column in score_columns(dataset.schema)}
    for file in fragment.data_files():
        name = str(file.path)
        columns = [column for column, of in owners.items() if of == name]
        hurt = None if name == images else columns[0] if columns else None
        for kind, detail in _file(dataset, fragment, file, columns):
            yield Problem(kind, batch, number, name, hurt, detail)
            break
        else:
            for column in columns:
                for kind, detail in _cells(root, dataset, fragment, column, name, known):
                    yield Problem(kind, batch, number, name, column, detail)


def _file(
    dataset: lance.LanceDataset, fragment: lance.LanceFragment, file: DataFile, columns: list[str]
) -> Iterator[tuple[str, str]]:
    """Kind and detail of what is wrong with a data file, the worst first."""
    path = f"{dataset.uri}/data/{file.path}"
    try:
        with reachable(dataset.uri):
            reader = LanceFileReader(path)
            rows, schema = reader.num_rows(), reader.metadata().schema
    except (OSError, ValueError) as error:
        yield "unreadable", in_one_line(str(error))
        return
    if rows != fragment.physical_rows:
        kind = "short" if rows < fragment.physical_rows else "long"
        yield kind, f"{rows} rows for {fragment.physical_rows}"
    for name in (name for column in columns for name in (column, state_of(column))):
        found = schema.field(name).type if name in schema.names else None
        if found != dataset.schema.field(name).type:
            yield "wrong_type", f"{name} is {found or 'missing'} instead of {dataset.schema.field(name).type}"
    listed = {field for column in columns for field in field_ids(dataset, column)}
    if not listed <= set(file.fields):
        yield "wrong_type", f"fields {sorted(listed - set(file.fields))} are not in it"


def _cells(
    root: DataRoot,
    dataset: lance.LanceDataset,
    fragment: lance.LanceFragment,
    column: str,
    name: str,
    known: History,
) -> Iterator[tuple[str, str]]:
    try:
        with reachable(dataset.uri):
            table = dataset.scanner(columns=[column, state_of(column)], fragments=[fragment]).to_table()
    except (OSError, ValueError) as error:
        yield "unreadable", in_one_line(str(error))
        return
    states = np.full(fragment.physical_rows, -1, np.int16)
    states[alive_offsets(fragment)] = state_numbers(table[state_of(column)])
    intents = [intent for intent in known.get((column, name), ()) if not intent.damaged]
    covered = np.zeros(fragment.physical_rows, int)
    for intent in intents:
        covered[intent.covered(fragment.physical_rows)] += 1
    scored = states >= 0
    if (scored & (covered == 0)).any():
        yield "unexplained", f"{(scored & (covered == 0)).sum()} cells have no row in the ledger"
    if (covered > 1).any():
        yield "unexplained", f"{(covered > 1).sum()} cells have more than one row in the ledger"
    wanted = by_state(states)
    said = {key: sum(getattr(intent, key) for intent in intents) for key in wanted}
    if said != wanted and not fragment.num_deletions:
        yield "miscounted", f"the ledger says {said}, the column {wanted}"
    sums = {intent.file_sha256 for intent in intents if intent.file_sha256}
    if sums and checksum(root, name) not in sums:
        yield "changed", "its SHA-256 is not the one that the ledger recorded"


def _rows(
    dataset: lance.LanceDataset, batch: str, fragment: lance.LanceFragment, ids: set[str], deep: bool
) -> Iterator[Problem]:
    """Rows of another batch, ids seen before in the batch (`ids` grows), images that are not what was stored."""
    number, name = fragment.fragment_id, image_file(dataset, fragment)
    table = dataset.scanner(columns=["id", "batch"], fragments=[fragment]).to_table()
    foreign = set(table["batch"].to_pylist()) - {batch}
    if foreign:
        yield Problem("mixed", batch, number, name, None, f"rows of {', '.join(sorted(map(str, foreign)))}, too")
    twice = [one for one in table["id"].to_pylist() if one in ids or ids.add(one)]
    if twice:
        yield Problem("duplicate", batch, number, name, None, f"{len(twice)} ids again, the first is {twice[0]}")
    if not deep:
        return
    scanner = dataset.scanner(
        columns=["id", IMAGE, "image_sha256"], fragments=[fragment], batch_size=64, blob_handling="all_binary"
    )
    try:
        for rows in scanner.to_batches():
            for id, image, digest in zip(*(rows[column].to_pylist() for column in rows.schema.names), strict=True):
                if image is None or hashlib.sha256(image).hexdigest() != digest:
                    yield Problem("wrong_image", batch, number, name, None, f"{id} is not the image of its digest")
    except (OSError, ValueError) as error:
        yield Problem("unreadable", batch, number, name, None, in_one_line(str(error)))
