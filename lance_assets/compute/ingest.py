"""image_dataset: captions -> download and decode tasks -> Lance fragments -> one commit per batch, over Ray Data.

A task streams what it downloads straight into its fragment: image bytes never travel through Ray, and memory is one
chunk of rows whatever the size of the batch.
"""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa
import ray.data

from lance_assets.ingest.batch import store_rows
from lance_assets.ingest.conversation import messages
from lance_assets.ingest.fetch import Fetcher
from lance_assets.ingest.limits import Limits
from lance_assets.store import ledger
from lance_assets.store.batches import announce, replace_batch, stored_rows, unfinished, write_fragment
from lance_assets.store.captions import read_captions
from lance_assets.store.claims import Held, claim
from lance_assets.store.files import DataRoot
from lance_assets.store.rejects import read_rejects, reasons, replace_rejects, worth_another_try
from lance_assets.store.schema import REJECTS
from lance_assets.store.staleness import input_digest
from lance_assets.store.table import ensure_images, exists, open_images

Report = Callable[[str], None]

#: Besides id and source digest, what a slice of captions is known by when a killed run's work is looked for.
CAPTION = ("image_url", "caption", "problem")


@dataclass(frozen=True)
class Plan:
    """What a task needs to know; small and picklable."""

    root: DataRoot
    limits: Limits
    threads: int


def make_plan(root: DataRoot, limits: Mapping[str, Any], allow_hosts: frozenset[str], threads: int) -> Plan:
    """`limits` are fields of ingest.limits.Limits that differ from its defaults. Raises BadInput."""
    return Plan(root, Limits(**limits, allow_hosts=allow_hosts), threads)


class WouldLoseRows(RuntimeError):
    """Ingesting a batch again would delete images that it has: link rot must not eat the table."""


@dataclass
class Ingested:
    """What became of one batch. `changed` is False where its rows were stored already; `downloaded` counts images
    fetched now. Seconds are wall time."""

    batch: str
    asked: int
    stored: int
    downloaded: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    seconds: float = 0.0
    version: int = 0
    changed: bool = True
    failure: str | None = None


def rows_per_fragment(rows: int) -> int:
    """Some four fragments a batch, so that labelling it runs in parallel, but none needlessly small."""
    return max(150, -(-rows // 4))


def write_slice(captions: pa.Table, plan: Plan) -> pa.Table:
    """Ray Data task: one slice of captions in, one row about the fragment that it became out.

    A task rather than an actor: its worker is warm for the next batch, and a slice is long enough for its connections.
    """
    batch, number = captions["batch"][0].as_py(), captions["slice"][0].as_py()
    rejects: list[pa.Table] = [REJECTS.empty_table()]
    size = 0

    def stored(fetcher: Fetcher) -> Iterator[pa.RecordBatch]:
        nonlocal size
        rows = captions.drop_columns(["batch", "slice"])
        for good, bad in store_rows(rows, batch, fetcher, threads=plan.threads):
            rejects.append(bad)
            size += good["image"].nbytes
            if good.num_rows:
                yield good

    started = ledger.now()
    with Fetcher(plan.limits) as fetcher:
        fragments = write_fragment(plan.root, stored(fetcher))
    refused = pa.concat_tables(rejects)
    done = {
        "slice": number,
        "stored": captions.num_rows - refused.num_rows,
        "bytes": size,
        "fragments": json.dumps(fragments),
        "rejects": packed(refused),
        "started": started,
    }
    return pa.Table.from_pylist([done])


def packed(rejects: pa.Table) -> str:
    """Rejects as text, for the ledger and for the way back from a task."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, REJECTS) as writer:
        writer.write_table(rejects)
    return base64.b64encode(sink.getvalue()).decode()


def unpacked(text: str) -> pa.Table:
    return pa.ipc.open_stream(base64.b64decode(text)).read_all()


def ingest(plan: Plan, batches: Sequence[str], run_id: str, report: Report, force: bool = False) -> Iterator[Ingested]:
    """Stores the batches one after the other and yields each once it is committed, or with `failure` set: a batch that
    fails does not stop the others. One whose rows are stored or rejected already is left alone, unless forced."""
    ensure_images(plan.root)
    for batch in batches:
        try:
            yield _store_batch(plan, batch, run_id, report, force)
        except Exception as error:  # the caller raises at the end and names every batch that failed
            report(f"{batch}: {type(error).__name__}: {error}")
            yield Ingested(batch, 0, 0, failure=f"{type(error).__name__}: {error}")


def _store_batch(plan: Plan, batch: str, run_id: str, report: Report, force: bool) -> Ingested:
    with claim(plan.root, batch) as held:
        captions = read_captions(plan.root, batch)
        if not force and (done := _already(plan.root, batch, captions)):
            report(f"{batch}: its {done.asked} rows did not change, nothing to do")
            return done
        return _ingest_batch(plan, batch, captions, run_id, report, force, held)


def _ingest_batch(
    plan: Plan, batch: str, captions: pa.Table, run_id: str, report: Report, force: bool, held: Held
) -> Ingested:
    started = time.monotonic()
    done = Ingested(batch, captions.num_rows, 0)
    slices = _slices(batch, captions)
    digests = [input_digest(one.rename_columns({"source_sha256": "image_sha256"}), CAPTION) for one in slices]
    parts: dict[int, tuple[list[str], pa.Table]] = {} if force else _taken_over(plan.root, batch, digests)
    if parts:
        report(f"{batch}: {len(parts)} of {len(slices)} slices were downloaded by a run that was killed")
    for part in _run(plan, [one for number, one in enumerate(slices) if number not in parts]):
        number, fragments, rejects = part["slice"], json.loads(part["fragments"]), unpacked(part["rejects"])
        for fragment in fragments:
            announce(plan.root, batch, fragment, digests[number], run_id, part["started"], part["rejects"])
        parts[number] = fragments, rejects
        done.downloaded += part["stored"]
        done.bytes += part["bytes"]
        done.seconds = time.monotonic() - started
        seen = sum(slices[number].num_rows for number in parts)
        report(f"{batch}: {seen}/{done.asked} rows, {seen / done.seconds:.0f} rows/s, {done.bytes / 1e6:.1f} MB")
    refused = pa.concat_tables(parts[number][1] for number in sorted(parts))
    done.stored = done.asked - refused.num_rows
    done.rejected = reasons(refused)
    _keep_stored(plan.root, batch, refused)
    # Rejects first: should we die in between, a rerun replaces them; the commit is what makes the batch done.
    replace_rejects(plan.root, batch, refused)
    fragments = [fragment for number in sorted(parts) for fragment in parts[number][0]]
    done.version = replace_batch(plan.root, batch, fragments, {"lance_assets.run": run_id}, held).version
    done.seconds = time.monotonic() - started
    return done


def _slices(batch: str, captions: pa.Table) -> list[pa.Table]:
    """The captions of one fragment each, with columns that say which."""
    size = rows_per_fragment(captions.num_rows)
    tables: list[pa.Table] = []
    for number, start in enumerate(range(0, captions.num_rows, size)):
        rows = captions.slice(start, size).combine_chunks()
        rows = rows.append_column("batch", pa.array([batch] * rows.num_rows))
        tables.append(rows.append_column("slice", pa.array([number] * rows.num_rows)))
    return tables


def _taken_over(root: DataRoot, batch: str, digests: Sequence[str]) -> dict[int, tuple[list[str], pa.Table]]:
    """Slices that a killed run had finished: their fragments and rejects by number. One with a row that may go better
    now is downloaded again."""
    found: dict[int, tuple[list[str], pa.Table]] = {}
    left = unfinished(root, batch)
    for number, digest in enumerate(digests):
        fragment, detail = left.get(digest, (None, None))
        if fragment and detail and not worth_another_try(rejects := unpacked(detail)):
            found[number] = [fragment], rejects
    return found


def _keep_stored(root: DataRoot, batch: str, refused: pa.Table) -> None:
    """Raises WouldLoseRows before a re-ingest drops an image that is stored and that its server no longer gives."""
    stored = set(stored_rows(open_images(root), batch)["id"].to_pylist())
    lost = [row for row in refused.select(["id", "reason"]).to_pylist() if row["id"] in stored]
    if lost:
        why = ", ".join(f"{reason} {count}" for reason, count in Counter(row["reason"] for row in lost).items())
        raise WouldLoseRows(f"{len(lost)} stored images cannot be had again ({why}); the batch stays as it was")


def _run(plan: Plan, slices: Sequence[pa.Table]) -> Iterator[dict[str, Any]]:
    """One Ray Data pipeline over the slices of a batch; parts arrive as they are done."""
    if slices:
        pipeline = ray.data.from_arrow(list(slices)).map_batches(
            partial(write_slice, plan=plan), batch_size=None, batch_format="pyarrow", num_cpus=1
        )
        yield from pipeline.iter_rows()


def _already(root: DataRoot, batch: str, captions: pa.Table) -> Ingested | None:
    """The batch as it stands, where every caption row is stored unchanged or rejected."""
    if not exists(root):
        return None
    dataset = open_images(root)
    stored = stored_rows(dataset, batch).to_pylist()
    rejects = read_rejects(root, batch)
    refusals = rejects.select(["id", "image_url"]).to_pylist()
    refused = {old["id"] for old in refusals}
    wanted = {row["id"]: row for row in captions.to_pylist()}
    if not stored and (not refused or worth_another_try(rejects)):
        return None
    same = all(
        (row := wanted.get(old["id"])) is not None
        and row["image_url"] == old["image_url"]
        and messages(row["caption"]) == old["messages"]
        for old in stored
    )
    kept = {old["id"] for old in stored}
    same = same and all(wanted[old["id"]]["image_url"] == old["image_url"] for old in refusals if old["id"] in wanted)
    if not same or kept & refused or kept | refused != set(wanted):
        return None
    counts = reasons(rejects)
    return Ingested(batch, len(wanted), len(stored), rejected=counts, version=dataset.version, changed=False)
