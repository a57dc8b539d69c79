"""Rows of a Lance version as a Hugging Face data set in memory: text as it is, images as references."""

from __future__ import annotations

import json
import logging
from typing import Any

import pyarrow as pa

from lance_assets.errors import BadInput
from lance_assets.training import rows, stats
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
logger = logging.getLogger("llamafactory.lance")


def load(attribute: Any, data_args: Any) -> Any:
    """The data set for a DatasetAttr whose `lance` is a LanceRows; num_samples and max_samples count as upstream.

    Reads the columns that the entry names and no other. Raises BadInput.
    """
    if data_args.streaming:
        raise BadInput(f"{attribute.lance.uri}: set streaming to false; Lance rows are read lazily without it")
    if attribute.videos or attribute.audios:
        raise BadInput(f"{attribute.lance.uri}: only images are read from Lance, not videos or audio")
    from datasets import Dataset

    table = _with_references(attribute.lance, _text_columns(attribute), attribute.images)
    if table.num_rows == 0:
        raise BadInput(f"{attribute.lance.uri} has no row for {attribute.lance.filter!r}: nothing to train on")
    dataset = Dataset(table)
    if attribute.num_samples is not None:
        dataset = dataset.select(_sampled(len(dataset), attribute.num_samples))
    if data_args.max_samples is not None:
        dataset = dataset.select(range(min(data_args.max_samples, len(dataset))))
    return dataset


def _text_columns(attribute: Any) -> list[str]:
    """Of alpaca's and sharegpt's columns, those that the entry's formatting uses."""
    alpaca_only = {"prompt", "query", "response", "history"}
    unused = {"messages"} if attribute.formatting == "alpaca" else alpaca_only
    named = (getattr(attribute, name) for name in TEXT_COLUMNS if name not in unused)
    return list(dict.fromkeys(name for name in named if name))


def _with_references(source: rows.LanceRows, text: list[str], images: str | None) -> pa.Table:
    table, read = rows.scan(source, text)
    stats.note(columns=text, rows=table.num_rows, bytes=read)
    logger.warning("Lance %s version %d, filter %s: %d rows", source.uri, source.version, source.filter, table.num_rows)
    ids = table["_rowid"].to_pylist()
    table = table.drop_columns(["_rowid"]).replace_schema_metadata(None)
    if not images:
        return table
    schema = rows.schema_of(source)
    if images not in schema.names:
        raise BadInput(f"{source.uri} version {source.version} has no column {images}")
    many = pa.types.is_list(schema.field(images).type) or pa.types.is_large_list(schema.field(images).type)
    column = []
    for row, values in zip(ids, table.to_pylist(), strict=True):
        shown = json.dumps(values).count(PLACEHOLDER)
        items = range(shown if many else min(shown, 1))
        column.append([str(Reference(source.uri, source.version, images, row, item)) for item in items])
    return table.append_column(images, pa.array(column, pa.list_(pa.string())))


def _sampled(rows_there: int, wanted: int) -> Any:
    """As upstream: every row once in random order, then random repeats up to `wanted`."""
    import numpy as np

    once = np.random.permutation(rows_there)[:wanted]
    return np.concatenate((once, np.random.choice(rows_there, wanted - len(once))))
