"""Source rows as the table captions/<batch>.parquet."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from lance_assets.ingest.captions import DEFAULT_CAPTION, parse_caption, unicode_text
from lance_assets.ingest.conversation import BadConversation, caption_of, parse_conversation
from lance_assets.sources.base import RawRow, SourceFile
from lance_assets.store.schema import CAPTIONS

#: Never change it: every row id of every platform descends from it.
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/lance-assets/row")

#: The reject reasons that are known before any download.
PROBLEMS = frozenset(["missing_url", "malformed_row", "multi_image", "bad_conversation"])

#: A longer "path" is something else: base64, for one.
PATH_CHARS = 4096

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|(?:https?|file|ftp|blob|javascript):", re.IGNORECASE)
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class _Unusable(Exception):
    """reason (one of PROBLEMS), detail."""


def row_id(source_id: str, path: str, row: int) -> str:
    """The stable id of a row: UUIDv5 of source id, file path and row number. Never of the URL, which may repeat or
    change."""
    return str(uuid.uuid5(NAMESPACE, f"{source_id}\0{path}\0{row}"))


def captions_table(source_id: str, revision: str, file: SourceFile, rows: Iterable[RawRow]) -> pa.Table:
    """Rows of one file in the schema CAPTIONS, one for each source row, in order.

    A row that cannot be used keeps its place, with a `problem` of PROBLEMS.
    """
    return pa.Table.from_pylist([_row(source_id, revision, file, raw) for raw in rows], schema=CAPTIONS)


def _row(source_id: str, revision: str, file: SourceFile, raw: RawRow) -> dict[str, Any]:
    url, origin, problem, detail, turns = None, None, None, None, None
    caption = None
    try:
        if raw.problem is not None:
            raise _Unusable("malformed_row", raw.problem)
        url, origin = ("", "embedded") if raw.embedded else _image(raw.image, f"row {raw.row} of {file.path}")
        if raw.messages is not None:
            turns = parse_conversation(raw.messages)
            caption = caption_of(turns)
    except _Unusable as error:
        problem, detail = error.args
    except BadConversation as error:
        problem, detail = error.reason, f"row {raw.row} of {file.path}: {error}"
    if raw.messages is None:
        caption = parse_caption(raw.caption)
    return {
        "id": row_id(source_id, file.path, raw.row),
        "image_url": url or None,
        "image_from": origin,
        "caption": caption or DEFAULT_CAPTION,
        "caption_missing": not caption,
        "source_path": file.path,
        "source_sha256": file.sha256,
        "source_revision": revision,
        "row_in_file": raw.row,
        "problem": problem,
        "detail": unicode_text(detail) if detail else None,
        "messages": turns,
        "licence": (unicode_text(raw.licence).strip() or None) if raw.licence else None,
    }


def _image(image: Any, where: str) -> tuple[str, str]:
    """(URL or path, "url" or "path") of an image cell: a string, or a dict with "url" or "path" (as some sets give
    `opensource_url`). Raises _Unusable."""
    if isinstance(image, list):
        raise _Unusable("multi_image", f"{where} has {len(image)} images")
    if isinstance(image, Mapping):
        image = image.get("url") or image.get("path")
    text = image.strip() if isinstance(image, str) else ""
    if not text:
        raise _Unusable("missing_url", f"{where} has no image URL")
    if text[:5].lower() == "data:":
        raise _Unusable("malformed_row", f"{where}: the image is a data: URI, not a URL, a path or bytes")
    if unicode_text(text) != text:
        raise _Unusable("malformed_row", f"{where}: the URL is not Unicode")
    if _URL.match(text):
        return text, "url"
    if _WINDOWS.match(text):
        raise _Unusable("malformed_row", f"{where}: the image is a path of Windows: {text[:200]}")
    if len(text) > PATH_CHARS or _CONTROL.search(text):
        raise _Unusable("malformed_row", f"{where}: the image is neither a URL nor a path: {text[:80]!r}...")
    return text, "path"
