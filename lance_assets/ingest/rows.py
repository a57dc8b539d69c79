"""Source rows as the table captions/<batch>.parquet."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from lance_assets.ingest.captions import DEFAULT_CAPTION, parse_caption
from lance_assets.sources.base import RawRow, SourceFile
from lance_assets.store.schema import CAPTIONS

#: Never change it: every row id of every platform descends from it.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/lance-assets/row")


def row_id(source_id: str, path: str, row: int) -> str:
    """The stable id of a row: UUIDv5 of source id, file path and row number. Never of the URL, which may repeat or
    change."""
    return str(uuid.uuid5(NAMESPACE, f"{source_id}\0{path}\0{row}"))


def captions_table(source_id: str, revision: str, file: SourceFile, rows: Iterable[RawRow]) -> pa.Table:
    """Rows of one file in the schema CAPTIONS, one for each source row, in order.

    A row that cannot be used keeps its place, with `problem`: malformed_row or missing_url.
    """
    return pa.Table.from_pylist([_row(source_id, revision, file, raw) for raw in rows], schema=CAPTIONS)


def _row(source_id: str, revision: str, file: SourceFile, raw: RawRow) -> dict[str, Any]:
    url, problem, detail = None, None, None
    if raw.problem is not None:
        problem, detail = "malformed_row", _text(raw.problem)
    else:
        url = _url(raw.image)
        if url is None:
            problem, detail = "missing_url", f"row {raw.row} of {file.path} has no image URL"
        elif url != _text(url):
            url, problem, detail = _text(url), "malformed_row", f"row {raw.row} of {file.path}: the URL is not Unicode"
    caption = parse_caption(raw.caption)
    return {
        "id": row_id(source_id, file.path, raw.row),
        "image_url": url,
        "caption": caption or DEFAULT_CAPTION,
        "caption_missing": caption is None,
        "source_path": file.path,
        "source_sha256": file.sha256,
        "source_revision": revision,
        "row_in_file": raw.row,
        "problem": problem,
        "detail": detail,
    }


def _url(image: Any) -> str | None:
    """The URL in an image cell: a string, or a dict with "url" or "path" (as some sets give `opensource_url`)."""
    if isinstance(image, Mapping):
        image = image.get("url") or image.get("path")
    return (image.strip() or None) if isinstance(image, str) else None


def _text(value: str) -> str:
    """The same text, half surrogates as question marks: Arrow takes only UTF-8."""
    return value.encode("utf-8", "replace").decode()
