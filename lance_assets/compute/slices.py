"""The Ray tasks of image_dataset: a slice of a batch's captions becomes one fragment of the table.

A task streams what it downloads straight into its fragment: image bytes never travel through Ray, and memory is one
chunk of rows whatever the size of the batch.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa

from lance_assets.ingest.batch import Chunk, right, store_rows
from lance_assets.ingest.fetch import Fetcher, Request
from lance_assets.ingest.landing import Landing
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import Fetched
from lance_assets.ingest.pictures import Pictures
from lance_assets.sources.base import Source
from lance_assets.sources.open import open_source
from lance_assets.store import ledger
from lance_assets.store.batches import fragment_file, write_fragment
from lance_assets.store.files import DataRoot
from lance_assets.store.rights import RIGHTS, record_rights
from lance_assets.store.rows import rows_at
from lance_assets.store.schema import REJECTS


@dataclass(frozen=True)
class Plan:
    """What a task needs to know; small and picklable. `shared` is a folder of each machine, for what its downloads
    must agree on; `source` are the arguments of sources.open.open_source."""

    root: DataRoot
    limits: Limits
    threads: int
    shared: Path
    source: Mapping[str, Any] | None = None
    image_roots: tuple[Path, ...] = ()
    placeholder: bool = False

    def landing(self, batch: str) -> Path:
        """Where the downloads of a batch wait for its commit."""
        return self.shared / "landing" / batch

    def fetcher(self) -> Fetcher:
        return Fetcher(self.limits, self.shared)

    def opened(self) -> Source | None:
        return open_source(**self.source) if self.source else None


def make_plan(
    root: DataRoot,
    limits: Mapping[str, Any],
    allow_hosts: frozenset[str],
    threads: int,
    shared: Path,
    source: Mapping[str, Any] | None = None,
    image_roots: tuple[Path, ...] = (),
    placeholder: bool = False,
) -> Plan:
    """`limits` are fields of ingest.limits.Limits that differ from its defaults. Raises BadInput."""
    checked = Limits(**limits, allow_hosts=allow_hosts)
    return Plan(root, checked, threads, shared, source, image_roots, placeholder)


@dataclass
class Written:
    """The fragment that a slice became (none where every row was rejected), as JSON, and what became of its rows."""

    number: int
    fragments: list[str]
    rejects: pa.Table
    started: datetime
    loaded: int = 0
    kept: int = 0
    bytes: int = 0


def write_slice(plan: Plan, batch: str, number: int, captions: pa.Table, version: int) -> Written:
    """Loads the images of a slice (schema CAPTIONS with `load` and `address`, the latter at a version of the table)."""
    done = Written(number, [], REJECTS.empty_table(), ledger.now())
    rejects: list[pa.Table] = [done.rejects]
    said: list[pa.Table] = [RIGHTS.empty_table()]

    def stored(chunks: Iterator[Chunk]) -> Iterator[pa.RecordBatch]:
        for chunk in chunks:
            rejects.append(chunk.rejects)
            said.append(chunk.rights)
            done.loaded += chunk.loaded
            done.kept += chunk.kept
            done.bytes += chunk.bytes
            yield chunk.stored

    def there(addresses: Sequence[int]) -> dict[int, dict[str, Any]]:
        return rows_at(plan.root, version, addresses)

    with plan.fetcher() as fetcher, Landing(plan.landing(batch), str(number)) as landing:
        pictures = Pictures(fetcher, landing, plan.opened(), plan.image_roots, plan.threads)
        chunks = store_rows(captions, batch, pictures, there, plan.placeholder)
        done.fragments = write_fragment(plan.root, stored(chunks))
    done.rejects = pa.concat_tables(rejects)
    name = fragment_file(done.fragments[0]) if done.fragments else uuid4().hex
    record_rights(plan.root, batch, name, pa.concat_tables(said))
    return done


@dataclass
class Asked:
    """What conditional requests found: ids of rows with a new image, what was said (schema RIGHTS)."""

    changed: list[str] = field(default_factory=list)
    rights: pa.Table = field(default_factory=RIGHTS.empty_table)


def ask_again(plan: Plan, batch: str, name: str, rows: Sequence[dict[str, Any]]) -> Asked:
    """Asks where the images of stored rows come from (caption rows with image_sha256, etag, last_modified) whether they
    are still the same. A new one from the web lands, so that it is not fetched twice; one that cannot be had changes
    nothing."""
    found = Asked()
    said: list[dict[str, Any]] = []
    web = [row for row in rows if (row["image_from"] or "url") == "url"]
    local = [row for row in rows if (row["image_from"] or "url") != "url"]
    requests = [Request(row["image_url"], row["etag"], row["last_modified"]) for row in web]
    with plan.fetcher() as fetcher, Landing(plan.landing(batch), name) as landing:
        pictures = Pictures(fetcher, landing, plan.opened(), plan.image_roots, plan.threads)
        outcomes = chain(fetcher.fetch_all(requests, plan.threads), pictures.load(local))
        for row, outcome in zip([*web, *local], outcomes, strict=True):
            said.append(right(row, outcome))
            if isinstance(outcome, Fetched) and outcome.sha256 != row["image_sha256"]:
                landing.put(row["image_url"] or row["id"], outcome)
                found.changed.append(row["id"])
    found.rights = pa.Table.from_pylist(said, schema=RIGHTS)
    return found


def packed(rejects: pa.Table) -> str:
    """Rejects as text, for the ledger."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, REJECTS) as writer:
        writer.write_table(rejects)
    return base64.b64encode(sink.getvalue()).decode()


def unpacked(text: str) -> pa.Table:
    return pa.ipc.open_stream(base64.b64decode(text)).read_all()
