"""Caption rows into image rows, or into typed rejects."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from lance_assets.ingest.conversation import messages
from lance_assets.ingest.fetch import Fetcher
from lance_assets.ingest.outcome import Fetched, FetchError
from lance_assets.store.schema import IMAGES, REJECTS

#: A chunk ends early at this many image bytes: 256 images of 25 MB would not fit next to anything else.
CHUNK_BYTES = 64_000_000


def store_rows(
    captions: pa.Table, batch: str, fetcher: Fetcher, chunk: int = 256, threads: int = 16
) -> Iterator[tuple[pa.RecordBatch, pa.Table]]:
    """Downloads the images of caption rows (schema CAPTIONS) with `threads` threads.

    Yields, for every `chunk` caption rows (fewer when their images pass 64 MB), in order: the stored rows (schema
    IMAGES, possibly none) and the rejects (schema REJECTS, possibly none). Every caption row is in exactly one of the
    two. Rows with a `problem` are rejected without a request. No row raises.
    """
    columns = ("id", "image_url", "caption", "caption_missing", "problem", "detail")
    rows = captions.select(columns).to_pylist()
    for row in rows:
        if row["problem"] is None and not row["image_url"]:
            row["problem"] = "missing_url"
    outcomes = fetcher.fetch_all([row["image_url"] for row in rows if row["problem"] is None], threads)
    stored: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        outcome = next(outcomes) if row["problem"] is None else None
        if isinstance(outcome, Fetched):
            stored.append(_image(row, batch, outcome))
            size += len(outcome.data)
        else:
            rejected.append(_reject(row, batch, outcome))
        if len(stored) + len(rejected) >= chunk or size >= CHUNK_BYTES:
            yield _tables(stored, rejected)
            stored, rejected, size = [], [], 0
    if stored or rejected:
        yield _tables(stored, rejected)


def _tables(stored: list[dict[str, Any]], rejected: list[dict[str, Any]]) -> tuple[pa.RecordBatch, pa.Table]:
    return pa.RecordBatch.from_pylist(stored, schema=IMAGES), pa.Table.from_pylist(rejected, schema=REJECTS)


def _image(row: dict[str, Any], batch: str, image: Fetched) -> dict[str, Any]:
    return {
        "id": row["id"],
        "batch": batch,
        "messages": messages(row["caption"]),
        "image": image.data,
        "image_url": row["image_url"],
        "image_sha256": image.sha256,
        "width": image.width,
        "height": image.height,
        "format": image.format,
        "caption_missing": row["caption_missing"],
        "is_placeholder": False,
    }


def _reject(row: dict[str, Any], batch: str, error: FetchError | None) -> dict[str, Any]:
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
