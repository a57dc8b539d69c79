"""Rows of a Lance version as a Hugging Face data set: text as it is, images as references.

Lazy: all text in memory. Streaming (LLaMA-Factory's `streaming: true`): text by parts of fragments. In both nothing is
written to disk, and image bytes are fetched only when a batch is made.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from lance_assets.errors import BadInput
from lance_assets.training import access, rows, stats
from lance_assets.training.references import Reference

TEXT_COLUMNS = (
    "prompt",
    "query",
    "response",
    "history",
    "messages",
    "system",
    "tools",
    "chosen",
    "rejected",
    "kto_tag",
)
PLACEHOLDER = "<image>"
REFERENCES = pa.list_(pa.string())
logger = logging.getLogger("llamafactory.lance")


def load(attribute: Any, data_args: Any) -> Any:
    """The data set for a DatasetAttr whose `lance` is a LanceRows; num_samples and max_samples count as upstream.

    Reads the columns that the entry names and no other. Raises BadInput.
    """
    source: rows.LanceRows = attribute.lance
    if attribute.videos or attribute.audios:
        raise BadInput(f"{source.uri}: only images are read from Lance, not videos or audio")
    text, images = _text_columns(attribute), _Images.of(source, attribute.images)
    if data_args.streaming:
        return _streamed(source, text, images)
    table, read = rows.scan(source, text)
    _tell(source, table.num_rows)
    stats.note(columns=text, rows=table.num_rows, bytes=read)
    from datasets import Dataset

    dataset = Dataset(_with_references(table, images))
    if attribute.num_samples is not None:
        dataset = dataset.select(_sampled(len(dataset), attribute.num_samples))
    if data_args.max_samples is not None:
        dataset = dataset.select(range(min(data_args.max_samples, len(dataset))))
    return dataset


def _streamed(source: rows.LanceRows, text: list[str], images: _Images | None) -> Any:
    from datasets import IterableDataset

    parts = rows.parts(source)
    _tell(source, sum(part.limit for part in parts))
    # `parts` is the only list, which tells datasets that ranks and workers may share it out
    known = {"parts": parts, "source": source, "text": tuple(text), "images": images}
    return IterableDataset.from_generator(_examples, gen_kwargs=known)


def _examples(
    parts: list[rows.Part], source: rows.LanceRows, text: tuple[str, ...], images: _Images | None
) -> Iterator[dict[str, Any]]:
    for part in parts:
        table, read = access.scan(source, text, part)
        stats.note(columns=list(text), rows=table.num_rows, bytes=read)
        yield from _with_references(table, images).to_pylist()


def _tell(source: rows.LanceRows, count: int) -> None:
    if count == 0:
        raise BadInput(f"{source.uri} has no row for {source.filter!r}: nothing to train on")
    logger.warning("Lance %s version %d, filter %s: %d rows", source.uri, source.version, source.filter, count)


def _text_columns(attribute: Any) -> list[str]:
    """Of alpaca's and sharegpt's columns, those that the entry's formatting uses."""
    alpaca_only = {"prompt", "query", "response", "history"}
    unused = {"messages"} if attribute.formatting == "alpaca" else alpaca_only
    named = (getattr(attribute, name) for name in TEXT_COLUMNS if name not in unused)
    return list(dict.fromkeys(name for name in named if name))


class _Images:
    """The column of images, and whether it holds one or many a row."""

    def __init__(self, source: rows.LanceRows, column: str, many: bool) -> None:
        self.source, self.column, self.many = source, column, many

    @classmethod
    def of(cls, source: rows.LanceRows, column: str | None) -> _Images | None:
        if not column:
            return None
        schema = rows.schema_of(source)
        if column not in schema.names:
            raise BadInput(f"{source.uri} version {source.version} has no column {column}")
        kind = schema.field(column).type
        return cls(source, column, pa.types.is_list(kind) or pa.types.is_large_list(kind))

    def references(self, row_id: int, row: dict[str, Any]) -> list[str]:
        """One for each placeholder in the row's text; of a single image no more than one."""
        shown = json.dumps(row).count(PLACEHOLDER)
        where, items = self.source, range(shown if self.many else min(shown, 1))
        return [str(Reference(where.uri, where.version, self.column, row_id, item, where.name)) for item in items]


def _with_references(table: pa.Table, images: _Images | None) -> pa.Table:
    text = table.drop_columns(["_rowid"]).replace_schema_metadata(None)
    if images is None:
        return text
    # Batch by batch: as Python objects all rows take many times the memory of the table. And `datasets` pickles a table
    # in pieces of which each carries the whole chunks that it is cut from, so chunks of all columns have to be alike.
    column = [
        pa.array([images.references(row.pop("_rowid"), row) for row in some.to_pylist()], REFERENCES)
        for some in table.to_batches()
    ]
    return text.append_column(images.column, pa.chunked_array(column, REFERENCES))


def _sampled(rows_there: int, wanted: int) -> Sequence[int]:
    """As upstream: every row once in random order, then random repeats up to `wanted`."""
    import numpy as np

    once = np.random.permutation(rows_there)[:wanted]
    return np.concatenate((once, np.random.choice(rows_there, wanted - len(once)))).tolist()
