"""Caption rows into image rows, typed rejects, and what was said about the right to use each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from itertools import accumulate
from typing import Any

import pyarrow as pa
from PIL import Image

from lance_assets.ingest.changes import words
from lance_assets.ingest.outcome import Fetched, FetchError, Unmodified
from lance_assets.ingest.pictures import Pictures
from lance_assets.store.rights import RIGHTS
from lance_assets.store.schema import IMAGES, REJECTS

#: A chunk ends early at this many image bytes: 256 images of 25 MB would not fit next to anything else.
CHUNK_BYTES = 64_000_000
#: Reasons by which a host or an answer says that it does not want its image to be used.
OPT_OUTS = ("robots_disallowed", "opted_out")
PLACEHOLDER_SIDE, GREY = 224, (128, 128, 128)

Row = dict[str, Any]
#: Rows (schema IMAGES) at addresses of the table, as dictionaries.
Stored = Callable[[Sequence[int]], dict[int, Row]]


@dataclass
class Chunk:
    """What became of some caption rows: stored rows (schema IMAGES), rejects (schema REJECTS) and what was said about
    them (schema RIGHTS). `kept` counts rows whose new image could not be had and that keep the stored one."""

    stored: pa.RecordBatch
    rejects: pa.Table
    rights: pa.Table
    loaded: int = 0
    kept: int = 0
    bytes: int = 0


@dataclass
class _Rows:
    stored: list[Row] = field(default_factory=list)
    rejects: list[Row] = field(default_factory=list)
    rights: list[Row] = field(default_factory=list)
    loaded: int = 0
    kept: int = 0
    bytes: int = 0

    def chunk(self) -> Chunk:
        return Chunk(
            _record_batch(self.stored),
            pa.Table.from_pylist(self.rejects, schema=REJECTS),
            pa.Table.from_pylist(self.rights, schema=RIGHTS),
            self.loaded,
            self.kept,
            self.bytes,
        )


def _record_batch(rows: Sequence[Row]) -> pa.RecordBatch:
    """Rows in the schema IMAGES. Their images are joined at once: Arrow's own builder grows and copies as it goes, and
    takes three times as long."""
    images = [row["image"] for row in rows]
    offsets = pa.array(accumulate(map(len, images), initial=0), pa.int64())
    others = IMAGES.remove(IMAGES.get_field_index("image"))
    joined = pa.Array.from_buffers(
        pa.large_binary(), len(images), [None, offsets.buffers()[1], pa.py_buffer(b"".join(images))]
    )
    batch = pa.RecordBatch.from_pylist(rows, schema=others)
    return batch.append_column(IMAGES.field("image"), joined).select(IMAGES.names)


def store_rows(
    captions: pa.Table,
    batch: str,
    pictures: Pictures,
    stored: Stored = lambda addresses: {},
    placeholder: bool = False,
    chunk: int = 256,
) -> Iterator[Chunk]:
    """Loads the images of caption rows (schema CAPTIONS with `load` and `address`, see ingest.changes).

    Yields a chunk for every `chunk` rows (fewer when their images pass 64 MB), in order. Every row is either stored or
    rejected; one with a `problem` is rejected without a request. With `placeholder` a row whose image cannot be had is
    stored as a marked grey picture instead, and its reason is in the rights. No row raises.
    """
    rows = captions.to_pylist()
    for row in rows:
        if row["problem"] is None and not row["image_url"] and row["image_from"] != "embedded":
            row["problem"] = "missing_url"
    outcomes = pictures.load([row for row in rows if row["load"] and row["problem"] is None])
    done = _Rows()
    for start in range(0, len(rows), chunk):
        some = rows[start : start + chunk]
        here = stored([row["address"] for row in some if row["address"] is not None])
        for row in some:
            outcome = next(outcomes) if row["load"] and row["problem"] is None else None
            _add(done, row, batch, outcome, here.get(row["address"]), placeholder)
            if done.bytes >= CHUNK_BYTES:
                yield done.chunk()
                done = _Rows()
        if done.stored or done.rejects:
            yield done.chunk()
            done = _Rows()


def _add(
    done: _Rows, row: Row, batch: str, outcome: Fetched | FetchError | None, old: Row | None, placeholder: bool
) -> None:
    if outcome is not None:
        done.rights.append(right(row, outcome))
    if isinstance(outcome, Fetched):
        done.stored.append(_image(row, batch, outcome))
        done.loaded += 1
    elif old is not None and outcome is None:
        done.stored.append({**old, **_words(row, batch)})
    elif old is not None and not old["is_placeholder"]:
        done.stored.append(old)  # link rot must not eat the table
        done.kept += 1
    elif placeholder and isinstance(outcome, FetchError):
        done.stored.append(_placeholder(row, batch))
    else:
        done.rejects.append(_reject(row, batch, outcome))
        return
    done.bytes += len(done.stored[-1]["image"])


def right(row: Row, outcome: Fetched | Unmodified | FetchError) -> Row:
    """What was said about the right to use a row's image, as a row of schema RIGHTS."""
    said: Row = {
        "id": row["id"],
        "url": row["image_url"],
        "time": outcome.fetched_at,
        "status": outcome.status or None,
        "attempts": outcome.attempts,
        "licence": row["licence"],
    }
    if isinstance(outcome, FetchError):
        opt_out = outcome.detail if outcome.reason in OPT_OUTS else None
        return {**said, "reason": outcome.reason, "opt_out": opt_out}
    said |= {"final_url": outcome.final_url, "etag": outcome.etag, "last_modified": outcome.last_modified}
    if isinstance(outcome, Fetched):
        said |= {"orientation": outcome.orientation, "location_stripped": outcome.location_stripped}
    return said


@cache
def _grey() -> bytes:
    sink = BytesIO()
    Image.new("RGB", (PLACEHOLDER_SIDE, PLACEHOLDER_SIDE), GREY).save(sink, "PNG")
    return sink.getvalue()


def _placeholder(row: Row, batch: str) -> Row:
    """A small grey picture, marked."""
    image = {"image": _grey(), "image_sha256": hashlib.sha256(_grey()).hexdigest(), "format": "PNG"}
    size = {"width": PLACEHOLDER_SIDE, "height": PLACEHOLDER_SIDE}
    return {**_words(row, batch), **image, **size, "is_placeholder": True}


def _image(row: Row, batch: str, image: Fetched) -> Row:
    return {
        **_words(row, batch),
        "image": image.data,
        "image_sha256": image.sha256,
        "width": image.width,
        "height": image.height,
        "format": image.format,
        "is_placeholder": False,
    }


def _words(row: Row, batch: str) -> Row:
    said = {name: row[name] for name in ("id", "image_url", "caption_missing")}
    return {**said, "batch": batch, "messages": words(row)}


def _reject(row: Row, batch: str, error: FetchError | None) -> Row:
    now = datetime.now(UTC)
    return {
        "id": row["id"],
        "batch": batch,
        "image_url": row["image_url"],
        "reason": error.reason if error else row["problem"],
        "detail": error.detail if error else row["detail"],
        "transient": error.transient if error else False,
        "attempts": error.attempts if error else 0,
        "first_time": now,
        "last_time": now,
    }
