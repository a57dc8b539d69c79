"""Arrow schemas of everything under data/. One place, so that every room means the same column by the same name."""

from __future__ import annotations

import pyarrow as pa

MESSAGE = pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())])

#: captions/<batch>.parquet: what a source said, parsed, one row per source row. `problem` is a reject reason that was
#: already known before any download (ingest.rows.PROBLEMS); `detail` explains it.
CAPTIONS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("image_url", pa.string()),
        pa.field("image_from", pa.string()),
        pa.field("caption", pa.string(), nullable=False),
        pa.field("caption_missing", pa.bool_(), nullable=False),
        pa.field("source_path", pa.string(), nullable=False),
        pa.field("source_sha256", pa.string(), nullable=False),
        pa.field("source_revision", pa.string(), nullable=False),
        pa.field("row_in_file", pa.int64(), nullable=False),
        pa.field("problem", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("messages", pa.list_(MESSAGE)),
        pa.field("licence", pa.string()),
    ]
)

BLOB = {b"lance-encoding:blob": b"true"}

#: images.lance before any score column is added. `image` holds the encoded file as downloaded, blob-encoded, never
#: null; width and height are pixels; image_sha256 is the hex digest of `image`.
IMAGES = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("batch", pa.string()),
        pa.field("messages", pa.list_(MESSAGE)),
        pa.field("image", pa.large_binary(), metadata=BLOB),
        pa.field("image_url", pa.string()),
        pa.field("image_sha256", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("format", pa.string()),
        pa.field("caption_missing", pa.bool_()),
        pa.field("is_placeholder", pa.bool_()),
    ]
)

#: rejects.lance: rows that could not be stored, one row per id. Times are UTC.
REJECTS = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("batch", pa.string()),
        pa.field("image_url", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("transient", pa.bool_()),
        pa.field("attempts", pa.int32()),
        pa.field("first_time", pa.timestamp("us", tz="UTC")),
        pa.field("last_time", pa.timestamp("us", tz="UTC")),
    ]
)

#: ledger.lance: one row per (column, file) that somebody was about to publish, or several where the cells of one file
#: were made in different ways. It counts once the table refers to `planned_file` for that column. `offsets` are row
#: offsets inside the fragment, NULL = all rows; `fragment` is NULL for a file whose fragment had no number yet. A new
#: image file is announced, too, as column `image`, with its rejected rows in `detail`. `base` is the file that answered
#: for the column when this one was planned; `carried_from` the file that the cells were copied from, NULL = computed.
#: `due` is when failed_transient rows may be tried again by themselves; `attempts` counts from 1.
LEDGER = pa.schema(
    [
        pa.field("column", pa.string()),
        pa.field("batch", pa.string()),
        pa.field("fragment", pa.int64()),
        pa.field("planned_file", pa.string()),
        pa.field("file_sha256", pa.string()),
        pa.field("base", pa.string()),
        pa.field("offsets", pa.list_(pa.int32())),
        pa.field("scorer", pa.string()),
        pa.field("version", pa.string()),
        pa.field("config_hash", pa.string()),
        pa.field("fields", pa.list_(pa.string())),
        pa.field("input_digest", pa.string()),
        pa.field("rows_ok", pa.int64()),
        pa.field("rows_failed_transient", pa.int64()),
        pa.field("rows_failed_permanent", pa.int64()),
        pa.field("rows_refused", pa.int64()),
        pa.field("attempts", pa.int32()),
        pa.field("due", pa.timestamp("us", tz="UTC")),
        pa.field("carried_from", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("read_version", pa.int64()),
        pa.field("run_id", pa.string()),
        pa.field("started", pa.timestamp("us", tz="UTC")),
        pa.field("planned", pa.timestamp("us", tz="UTC")),
    ]
)

#: What a column means and its unit, for people.
DESCRIPTIONS = {
    "id": "UUIDv5 of source, file path and row; never of the URL",
    "batch": "batch key: `<source>-<file>-<first row>-<end row>`; indexed",
    "messages": "the conversation: `<image>` in a user turn; the first assistant turn is the caption",
    "image": "encoded file as downloaded, blob-encoded; never null, never rewritten",
    "image_url": "where it comes from: a URL, or a path inside the source's folders; NULL = the source's file holds it",
    "image_from": "what image_url is: url, path or embedded; NULL = url",
    "image_sha256": "hex digest of `image`",
    "width": "pixels",
    "height": "pixels",
    "format": "JPEG, PNG, WEBP, GIF, BMP or TIFF",
    "caption": "parsed from the source; the default description where the source had none",
    "caption_missing": "the source had no caption, the default description stands in",
    "is_placeholder": "a stand-in for an image that could not be had; never trained on unless asked",
    "source_path": "file of the source",
    "source_sha256": "hex digest of that file",
    "source_revision": "what the source calls its version",
    "row_in_file": "0-based",
    "problem": "why the row cannot be stored, where that is known before any download",
    "detail": "the same in words",
    "licence": "what the source says about the rights in the row",
}
