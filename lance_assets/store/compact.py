"""Compaction: the fragments of one batch become fewer. Labels, images and row ids stay, and nothing becomes stale."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import Any

import lance
import numpy as np
from lance.fragment import FragmentMetadata
from lance.optimize import Compaction, CompactionOptions, RewriteResult

from lance_assets.store import ledger
from lance_assets.store.cells import state_numbers
from lance_assets.store.claims import Busy, Held, claim
from lance_assets.store.columns import column_file, score_columns, state_of
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import by_batch, fragment_at, image_file
from lance_assets.store.ledger import History, Intent
from lance_assets.store.objects import in_one_line, typed
from lance_assets.store.staging import alive_offsets
from lance_assets.store.table import GaveUp, batch_fragments, landed_first, open_images
from lance_assets.store.versions import hold

Report = Callable[[str], None]
#: Seconds to wait for a writer of a batch.
PATIENCE_S = 30


class Damaged(RuntimeError):
    """Files of a batch cannot be read, or its cells wait for being scored again; `maintain verify` names them."""


@dataclass(frozen=True)
class Compacted:
    """One batch: its numbers of fragments before and after, rows rewritten, seconds of wall time."""

    batch: str
    before: int
    after: int
    rows: int
    seconds: float


@typed
def compact(
    root: DataRoot,
    rows_per_fragment: int = 10_000,
    batches: Sequence[str] | None = None,
    report: Report = lambda line: None,
) -> list[Compacted]:
    """Merges neighbouring small fragments inside each batch (None = all batches), never across batches, under the claim
    of the batch. What it did is in the ledger before it counts. A batch that somebody writes is left alone. Raises
    GaveUp, and Damaged once all others are done."""
    found = by_batch(open_images(root), ledger.history(ledger.read(root)))
    done: list[Compacted] = []
    damaged: list[str] = []
    for key in found if batches is None else batches:
        if len(found.get(key, ())) < 2:
            continue
        started = time.monotonic()
        try:
            with claim(root, key, timeout=PATIENCE_S) as held:
                one = _compact_batch(root, key, rows_per_fragment, held, started)
        except Busy:
            report(f"{key}: somebody writes it, left for the next time")
            continue
        except Damaged as error:  # the others go on; all that are damaged are named at the end
            report(str(error))
            damaged.append(str(error))
            continue
        if one.rows:
            report(f"{key}: {one.before} -> {one.after} fragments, {one.rows / max(one.seconds, 1e-9):.0f} rows/s")
            done.append(one)
    if damaged:
        raise Damaged("; ".join(damaged))
    return done


def _compact_batch(root: DataRoot, batch: str, target: int, held: Held, started: float) -> Compacted:
    for _ in range(10):
        with hold(root, batch, held) as dataset:
            mine = batch_fragments(dataset, batch)
            others = [n for n in (fragment.fragment_id for fragment in dataset.get_fragments()) if n not in set(mine)]
            options = CompactionOptions(target_rows_per_fragment=target, excluded_fragment_ids=others)
            plan = Compaction.plan(dataset, options)
            if not plan.tasks:
                return Compacted(batch, len(mine), len(mine), 0, time.monotonic() - started)
            _check_whole(dataset, batch, mine, ledger.history(ledger.read(root, batch)))
            try:
                results = [task.execute(dataset) for task in plan.tasks]
            except (OSError, ValueError) as error:
                raise Damaged(f"batch {batch} cannot be read: {in_one_line(str(error))}") from error
            moves = [_move(root, dataset, batch, result) for result in results]
            ledger.append(root, [intent for intents, _ in moves for intent in intents])
            held.check()
            try:
                Compaction.commit(dataset, results)
            except OSError as error:  # a column was added meanwhile: what was written expires, the ledger names it
                if not landed_first(error):
                    raise
                continue
        after = len(batch_fragments(open_images(root), batch))
        return Compacted(batch, len(mine), after, sum(rows for _, rows in moves), time.monotonic() - started)
    raise GaveUp(f"batch {batch} could not be compacted: 10 conflicts in a row")


def _check_whole(dataset: lance.LanceDataset, batch: str, numbers: Sequence[int], known: History) -> None:
    """Raises Damaged where cells wait for being scored again: merged with others, all of them would have to be."""
    for number in numbers:
        for column in score_columns(dataset.schema):
            file = column_file(dataset, fragment_at(dataset, number), column)
            if any(intent.damaged for intent in known.get((column, file or ""), ())):
                raise Damaged(f"{column} of batch {batch}, fragment {number}, is damaged: label the batch first")


def _move(root: DataRoot, dataset: lance.LanceDataset, batch: str, result: RewriteResult) -> tuple[list[Intent], int]:
    """The ledger rows of one rewrite (old fragments, in order, into new ones) and the number of rows moved: the map of
    the images, and for each column who made the cells, at their new offsets."""
    said = json.loads(methodcaller("json")(result))  # known to the compiled module only
    old = [fragment_at(dataset, one["id"]) for one in said["original_fragments"]]
    alive = [alive_offsets(fragment) for fragment in old]
    new = [FragmentMetadata.from_json(json.dumps(one)) for one in said["new_fragments"]]
    files = [str(one.files[0].path) for one in new]
    ends = np.cumsum([one.physical_rows for one in new])
    starts = ends - [one.physical_rows for one in new]
    origin = [
        {"fragment": one.fragment_id, "file": image_file(dataset, one), "rows": len(at)}
        for one, at in zip(old, alive, strict=True)
    ]
    intents = [
        Intent.of_images(batch, file, one.physical_rows, "", ledger.now(), detail=_map(origin, int(start)))
        for file, one, start in zip(files, new, starts, strict=True)
    ]
    known = ledger.history(ledger.read(root, batch))
    first = np.cumsum([0, *(len(at) for at in alive)])
    for column in score_columns(dataset.schema):
        states = _states(dataset, old, column)
        for at, fragment in enumerate(old):
            before = column_file(dataset, fragment, column)
            for intent in known.get((column, before or ""), ()):
                covered = np.isin(alive[at], intent.covered(fragment.physical_rows))
                positions = first[at] + np.flatnonzero(covered)
                for file, start, end in zip(files, starts, ends, strict=True):
                    inside = positions[(positions >= start) & (positions < end)] - start
                    if len(inside):
                        changes = {"planned_file": file, "fragment": None, "file_sha256": None, "base": None}
                        cells = inside.astype(np.int32)
                        intents.append(intent.moved(states[start:end], cells, carried_from=before, **changes))
    return intents, int(ends[-1]) if len(ends) else 0


def _map(origin: Sequence[dict[str, Any]], start: int) -> str:
    """Where the rows of a new file come from: the old fragments in order, of whose rows it begins at `start`."""
    return json.dumps({"compacted_from": origin, "start": start})


def _states(dataset: lance.LanceDataset, old: Sequence[lance.LanceFragment], column: str) -> np.ndarray:
    """States of the rows that are not deleted, in the order of the fragments; -1 = never scored."""
    table = dataset.scanner(columns=[state_of(column)], fragments=list(old), scan_in_order=True).to_table()
    return state_numbers(table[state_of(column)])
