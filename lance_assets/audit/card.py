"""`audit card`: what anybody should know about the data set before using it, as plain data; preview.card renders it.

Datasheets for Datasets (Gebru et al., CACM 64:12, 2021) say what belongs into it; here it is counted, not told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lance_assets.audit.card_rights import card_rights
from lance_assets.audit.card_scores import card_score, quantiles
from lance_assets.audit.text import when
from lance_assets.partitions import KEY, Batch
from lance_assets.store.captions import footers
from lance_assets.store.columns import score_columns
from lance_assets.store.duplicates import COLUMN
from lance_assets.store.files import DataRoot
from lance_assets.store.fragments import image_file
from lance_assets.store.rejects import read_rejects, reasons
from lance_assets.store.selection import manifests
from lance_assets.store.table import open_images
from lance_assets.store.versions import HOLD, steady

#: Hosts that are named; the others are added up.
HOSTS = 20
HOST = pc.ExtractRegexOptions(r"^[a-z]+://(?:[^/@]*@)?(?P<host>[^/:?#@]+)")


def data_card(root: DataRoot, checkpoints: Sequence[Mapping[str, str]] = ()) -> dict[str, Any]:
    """Everything about the table at its newest version; `checkpoints` are {path, tag of the training set}. Reads every
    column but the images once: seconds at a million rows. Raises BadInput where there is no table."""
    dataset = open_images(root)
    batches = dict(zip(*_counted(dataset, "batch"), strict=True))
    rejects = read_rejects(root)
    columns = score_columns(dataset.schema)
    return {
        "name": "image_dataset",
        "made": when(datetime.now(UTC)),
        "table": root.images,
        "version": dataset.version,
        "rows": dataset.count_rows(),
        "batches": len(batches),
        **_sizes(dataset),
        "sources": _sources(root, batches, Counter(rejects["batch"].to_pylist())),
        "rejected": reasons(rejects),
        "rights": card_rights(root, sorted({*batches, *rejects["batch"].to_pylist()})),
        "hosts": _hosts(dataset),
        "formats": dict(zip(*_counted(dataset, "format"), strict=True)),
        "pictures": {name: quantiles(_column(dataset, name)) for name in ("width", "height")},
        "captions": _captions(dataset),
        "placeholders": dataset.count_rows("is_placeholder"),
        "scores": [card_score(root, dataset, column) for column in columns],
        "duplicates": _duplicates(dataset) if COLUMN in columns else None,
        **_versions(dataset),
        "training_sets": [
            {name: one.get(name) for name in ("tag", "version", "created", "filter", "rows", "excluded")}
            for one in manifests(root)
        ],
        "checkpoints": list(checkpoints),
    }


def _column(dataset: lance.LanceDataset, name: str) -> np.ndarray:
    return dataset.to_table(columns=[name])[name].to_numpy()


def _counted(dataset: lance.LanceDataset, column: str) -> tuple[list[Any], list[int]]:
    """Values of a column and how often each occurs, most frequent first."""
    counts: Counter[Any] = Counter()
    for part in dataset.scanner(columns=[column]).to_batches():
        for one in part.column(0).value_counts().to_pylist():
            counts[one["values"]] += one["counts"]
    found = counts.most_common()
    return [value for value, _ in found], [count for _, count in found]


def _sizes(dataset: lance.LanceDataset) -> dict[str, Any]:
    """Bytes of the files that the version refers to: images with captions, and labels."""
    images = labels = 0
    fragments = dataset.get_fragments()
    for one in fragments:
        first = image_file(dataset, one)
        for file in one.data_files():
            size = file.file_size_bytes or 0
            images, labels = (images + size, labels) if file.path == first else (images, labels + size)
    return {"fragments": len(fragments), "bytes": {"images": images, "labels": labels}}


def _sources(root: DataRoot, stored: Mapping[str, int], rejected: Mapping[str, int]) -> list[dict[str, Any]]:
    said = footers(root)
    found: dict[str, dict[str, Any]] = {}
    for key in sorted({*said, *stored}):
        batch = Batch.parse(key) if KEY.fullmatch(key) else None
        empty = {"batches": 0, "asked": 0, "stored": 0, "rejected": 0, "files": {}}
        one = found.setdefault(batch.source if batch else key, empty)
        one["batches"] += 1
        one["asked"] += batch.rows if batch else 0
        one["stored"] += stored.get(key, 0)
        one["rejected"] += rejected.get(key, 0)
        if key in said:
            one["files"][said[key].path] = said[key].sha256
    return [{"source": name, **one} for name, one in found.items()]


def _hosts(dataset: lance.LanceDataset) -> dict[str, int]:
    """Where images were fetched from; those of no URL (local or embedded) are under an empty name."""
    counts: Counter[str] = Counter()
    for part in dataset.scanner(columns=["image_url"]).to_batches():
        hosts = pc.call_function("extract_regex", [part.column(0)], HOST).field("host").fill_null("")
        for one in hosts.value_counts().to_pylist():
            counts[one["values"]] += one["counts"]
    first = dict(counts.most_common(HOSTS))
    left = sum(counts.values()) - sum(first.values())
    return first | ({f"{len(counts) - HOSTS} others": left} if left else {})


def _captions(dataset: lance.LanceDataset) -> dict[str, Any]:
    """Characters of the last answer of each conversation, and rows whose source had no caption."""
    lengths: list[np.ndarray] = []
    for part in dataset.scanner(columns=["messages"]).to_batches():
        messages = part.column(0)
        starts, ends = messages.offsets.to_numpy()[:-1], messages.offsets.to_numpy()[1:]
        ends = ends[ends > starts] - 1
        contents = messages.values.field("content").take(pa.array(ends))
        lengths.append(pc.call_function("utf8_length", [contents]).fill_null(0).to_numpy(zero_copy_only=False))
    missing = dataset.count_rows("caption_missing")
    return {"missing": missing, "characters": quantiles(np.concatenate(lengths) if lengths else np.array([]))}


def _duplicates(dataset: lance.LanceDataset) -> dict[str, int]:
    """Rows that repeat an earlier one: with the same bytes, or nearly; and rows that nobody compared."""
    return {
        "exact": dataset.count_rows(f"{COLUMN}.first IS NOT NULL AND {COLUMN}.exact"),
        "near": dataset.count_rows(f"{COLUMN}.first IS NOT NULL AND NOT {COLUMN}.exact"),
        "not_compared": dataset.count_rows(f"{COLUMN} IS NULL"),
    }


def _versions(dataset: lance.LanceDataset) -> dict[str, Any]:
    tags = {name: tag for name, tag in steady(dataset.tags.list).items() if not name.startswith(HOLD)}
    return {
        "versions_kept": len(dataset.version_refs()),
        "tags": [
            {"tag": name, "version": tag["version"], "reason": tag["metadata"].get("reason", "")}
            for name, tag in sorted(tags.items())
        ],
    }
