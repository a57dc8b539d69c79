"""image_dataset: captions -> download and decode tasks -> Lance fragments -> one commit per batch, over Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import ray

from lance_assets.compute.slices import Asked, Plan, Written, ask_again, packed, unpacked, write_slice
from lance_assets.ingest.changes import STORED, Changes, changes
from lance_assets.ingest.landing import forget, forget_old, progress
from lance_assets.ingest.outcome import TRANSIENT
from lance_assets.store import ledger
from lance_assets.store.batches import RUN, announce, replace_batch, stored_rows, unfinished
from lance_assets.store.captions import mark_settled, read_captions, unsettled
from lance_assets.store.claims import Held, claim
from lance_assets.store.rejects import hopeful, read_rejects, reasons, replace_rejects
from lance_assets.store.rights import RIGHTS, record_rights, rights
from lance_assets.store.schema import REJECTS
from lance_assets.store.staleness import input_digest
from lance_assets.store.table import ensure_images, of_batch, open_images

Report = Callable[[str], None]

#: Besides id and source digest, what a slice of captions is known by when a killed run's work is looked for.
CAPTION = ("image_url", "caption", "messages", "problem", "load", "address")
#: Seconds between two lines about how far the downloads are, and between two looks at the tasks.
PROGRESS_S, LOOK_S = 10.0, 1.0


@dataclass(frozen=True)
class Mode:
    """What is asked for beyond what changed. `force`: ask the server of every stored image whether it is still the
    same. `retry`: load rejected rows again, those with this reason (None = those that may go better by now)."""

    force: bool = False
    retry: bool = False
    reason: str | None = None


@dataclass
class Ingested:
    """What became of one batch. `changed` is False where its rows were stored already; `downloaded` counts images
    loaded now, `kept` rows that keep their image since the new one cannot be had. Seconds are wall time."""

    batch: str
    asked: int
    stored: int
    downloaded: int = 0
    kept: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    bytes: int = 0
    seconds: float = 0.0
    version: int = 0
    changed: bool = True
    failure: str | None = None


def rows_per_fragment(rows: int) -> int:
    """Some four fragments a batch, so that labelling it runs in parallel, but none needlessly small."""
    return max(150, -(-rows // 4))


def ingest(plan: Plan, batches: Sequence[str], run_id: str, report: Report, mode: Mode = Mode()) -> Iterator[Ingested]:
    """Stores the batches one after the other and yields each once it is committed, or with `failure` set: a batch that
    fails does not stop the others. Rows that are stored or rejected already are left alone, but for what `mode` says;
    a batch of which no row is stored tries again what failed in passing."""
    ensure_images(plan.root)
    forget_old(plan.landing(""))
    for batch in batches:
        try:
            with claim(plan.root, batch) as held:
                yield _Batch(plan, batch, run_id, report, mode, held).stored()
        except Exception as error:  # the caller raises at the end and names every batch that failed
            report(f"{batch}: {type(error).__name__}: {error}")
            yield Ingested(batch, 0, 0, failure=f"{type(error).__name__}: {error}")


class _Batch:
    """One batch under its claim."""

    def __init__(self, plan: Plan, batch: str, run_id: str, report: Report, mode: Mode, held: Held) -> None:
        self.plan, self.root, self.batch, self.run_id, self.mode, self.held = plan, plan.root, batch, run_id, mode, held
        self.say: Report = lambda text: report(f"{batch}: {text}")
        self.started = time.monotonic()
        self.captions = read_captions(self.root, batch)
        self.dataset = open_images(self.root)
        self.there = stored_rows(self.dataset, batch, STORED)
        self.refused = read_rejects(self.root, batch)
        self.done = Ingested(batch, self.captions.num_rows, 0)

    def stored(self) -> Ingested:
        """Does the work and says what became of it."""
        todo = changes(self.captions, self.there, self.refused, self._again(), self._asked())
        self.done.version = self.dataset.version
        if todo.nothing:
            self.done.changed = False
            self.say(f"its {self.done.asked} rows did not change, nothing to do")
        else:
            self._publish(todo, self._written(todo))
        mark_settled(self.root, self.batch)
        forget(self.plan.landing(self.batch))
        self.done.seconds = time.monotonic() - self.started
        self.done.rejected = reasons(read_rejects(self.root, self.batch))
        self.done.stored = open_images(self.root).count_rows(of_batch(self.batch))
        return self.done

    def _again(self) -> set[str]:
        """Ids of rejects, and of placeholders, that are to be tried again: where asked for, or nothing is stored."""
        if self.mode.reason is None:
            tried = hopeful(self.refused) if self.mode.retry or not self.there.num_rows else set()
            return tried | self._placeholders(TRANSIENT | {"blocked_address"}) if self.mode.retry else tried
        mine = self.refused.filter(pc.field("reason") == self.mode.reason)
        return {*mine["id"].to_pylist(), *self._placeholders({self.mode.reason})}

    def _placeholders(self, wanted: Collection[str]) -> set[str]:
        """Ids of placeholders that stand in for images which could not be had for one of these reasons."""
        grey = set(self.there.filter(pc.field("is_placeholder"))["id"].to_pylist())
        said = rights(self.root, self.batch).select(["id", "reason"]).to_pylist() if grey else []
        return {row["id"] for row in said if row["id"] in grey and row["reason"] in wanted}

    def _asked(self) -> list[str]:
        """Ids of stored rows that turn out to have a new image: of all when forced, else of those whose image lies in a
        file of the source that changed."""
        inside = pc.field("image_from").isin(["path", "embedded"])
        rows = self.captions if self.mode.force else self.captions.filter(inside)
        if not (self.mode.force or unsettled(self.captions)):
            return []
        there = {row["id"]: row for row in self.there.select(["id", "image_url", "image_sha256"]).to_pylist()}
        known = {row["id"]: row for row in rights(self.root, self.batch).to_pylist()}
        asked = [
            {**row, "image_sha256": there[row["id"]]["image_sha256"], **_tags(known.get(row["id"]))}
            for row in rows.to_pylist()
            if row["id"] in there and row["image_url"] == there[row["id"]]["image_url"]
        ]
        if self.mode.force:
            forget(self.plan.landing(self.batch))  # what a killed run fetched may be old by now
        size = rows_per_fragment(len(asked))
        parts = [asked[start : start + size] for start in range(0, len(asked), size)]
        name = f"asked-{uuid4().hex}"
        tasks = [_ask_again.remote(self.plan, self.batch, f"asked-{n}", part) for n, part in enumerate(parts)]
        found: list[Asked] = list(self._awaited(tasks))
        record_rights(self.root, self.batch, name, pa.concat_tables([RIGHTS.empty_table(), *(a.rights for a in found)]))
        new = [id for one in found for id in one.changed]
        self.say(f"{len(asked)} images asked for again, {len(new)} of them changed")
        return new

    def _written(self, todo: Changes) -> list[Written]:
        """The slices as fragments that nobody sees yet; what a killed run had finished is taken over."""
        slices = sliced(todo.write)
        digests = [input_digest(one.rename_columns({"source_sha256": "image_sha256"}), CAPTION) for one in slices]
        parts = {} if self.mode.force else self._taken_over(digests)
        if parts:
            self.say(f"{len(parts)} of {len(slices)} slices were downloaded by a run that was killed")
        tasks = [
            _write_slice.remote(self.plan, self.batch, number, rows, self.dataset.version)
            for number, rows in enumerate(slices)
            if number not in parts
        ]
        for part in self._awaited(tasks):
            for fragment in part.fragments:
                digest = digests[part.number]
                announce(self.root, self.batch, fragment, digest, self.run_id, part.started, packed(part.rejects))
            parts[part.number] = part
            self.done.downloaded += part.loaded
            self.done.kept += part.kept
            self.done.bytes += part.bytes
        return [parts[number] for number in sorted(parts)]

    def _taken_over(self, digests: Sequence[str]) -> dict[int, Written]:
        """Slices that a killed run had finished. One with a row that may go better now is loaded again."""
        found: dict[int, Written] = {}
        left = unfinished(self.root, self.batch)
        for number, digest in enumerate(digests):
            fragment, detail = left.get(digest, (None, None))
            if fragment and detail and not hopeful(rejects := unpacked(detail)):
                found[number] = Written(number, [fragment], rejects, ledger.now())
        return found

    def _publish(self, todo: Changes, parts: Sequence[Written]) -> None:
        # Rejects first: should we die in between, a rerun replaces them; the commit is what makes the batch done.
        rejects = pa.concat_tables([REJECTS.empty_table(), *(part.rejects for part in parts)])
        replace_rejects(self.root, self.batch, rejects, todo.settled)
        fragments = [fragment for part in parts for fragment in part.fragments]
        properties = {RUN: self.run_id}
        self.done.version = replace_batch(self.root, self.batch, fragments, properties, self.held, todo.kept).version
        self.done.changed = self.done.version != self.dataset.version
        if self.done.kept:
            self.say(f"{self.done.kept} rows keep their stored image, the new one cannot be had: rights/{self.batch}")

    def _awaited(self, tasks: Sequence[Any]) -> Iterator[Any]:
        """Results as they come, with a line about the downloads now and then. Where some fail the others are yielded
        first, so that their work is not lost; then the first failure is raised."""
        waiting, failed, told = list(tasks), None, time.monotonic()
        while waiting:
            ready, waiting = _first_ready(waiting)
            for task in ready:
                try:
                    yield ray.get(task)
                except Exception as error:  # raised below
                    failed = failed or error
            if ready or time.monotonic() - told > PROGRESS_S:
                told = time.monotonic()
                self.say(self._progress())
        if failed:
            raise failed

    def _progress(self) -> str:
        seen, seconds = progress(self.plan.landing(self.batch)), time.monotonic() - self.started
        why = ", ".join(f"{reason} {count}" for reason, count in seen.failed.most_common())
        rates = f"{seen.done / seconds:.0f} images/s, {seen.bytes / seconds / 1e6:.1f} MB/s"
        return f"{seen.done} downloads of {self.done.asked} rows are over, {rates}{f'; failed: {why}' if why else ''}"


def sliced(rows: pa.Table) -> list[pa.Table]:
    """The rows of one fragment each."""
    size = rows_per_fragment(rows.num_rows)
    return [rows.slice(start, size).combine_chunks() for start in range(0, rows.num_rows, size)]


def _first_ready(waiting: list[Any]) -> tuple[list[Any], list[Any]]:
    """What ray.wait says of the tasks within LOOK_S. An interrupt that comes meanwhile is raised as it is: Ray hides it
    behind a SystemError."""
    try:
        return ray.wait(waiting, num_returns=1, timeout=LOOK_S)
    except SystemError as error:
        raise (error.__cause__ or error) from None


def _tags(known: Mapping[str, Any] | None) -> dict[str, str | None]:
    """What makes a request conditional: of the image that is stored, not of a later failure."""
    known = known or {}
    return {name: known.get(name) if known.get("reason") is None else None for name in ("etag", "last_modified")}


_write_slice = ray.remote(num_cpus=1, max_retries=2)(write_slice)
_ask_again = ray.remote(num_cpus=1, max_retries=2)(ask_again)
