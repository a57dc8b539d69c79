"""Image batches: whole fragments, written in parallel, published by one atomic commit, never twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import lance
import pyarrow as pa
from lance.fragment import FragmentMetadata, write_fragments

from lance_assets.store.files import DataRoot
from lance_assets.store.schema import IMAGES
from lance_assets.store.table import STORAGE_VERSION, batch_fragments, commit, of_batch, open_images


class MixedFragment(RuntimeError):
    """A fragment holds rows of two batches: somebody compacted across batches."""


def write_fragment(root: DataRoot, rows: Iterable[pa.RecordBatch]) -> list[str]:
    """Streams rows of schema IMAGES into new fragment files; memory is one record batch. Nothing is visible until
    `replace_batch`. Returns the fragments as JSON, none where there were no rows."""
    reader = pa.RecordBatchReader.from_batches(IMAGES, rows)
    fragments = write_fragments(
        reader, root.images, mode="append", data_storage_version=STORAGE_VERSION, enable_stable_row_ids=True
    )
    return [json.dumps(fragment.to_json()) for fragment in fragments if fragment.physical_rows]


def replace_batch(
    root: DataRoot, batch: str, fragments: Sequence[str], properties: dict[str, str]
) -> lance.LanceDataset:
    """Publishes a batch in one commit: an append the first time, later a replacement of its fragments (its scores
    become NULL). The caller holds the claim of the batch. Raises MixedFragment, GaveUp."""
    new = [FragmentMetadata.from_json(fragment) for fragment in fragments]

    def operation(dataset: lance.LanceDataset) -> lance.LanceOperation.BaseOperation:
        old = batch_fragments(dataset, batch)
        for number in old:
            fragment = dataset.get_fragment(number)
            if fragment is None or fragment.count_rows() != fragment.count_rows(of_batch(batch)):
                raise MixedFragment(f"fragment {number} holds rows of batch {batch} and of another one")
        if old:
            return lance.LanceOperation.Update(removed_fragment_ids=old, new_fragments=new)
        return lance.LanceOperation.Append(new)

    dataset = open_images(root)
    if not new and not batch_fragments(dataset, batch):
        return dataset
    return commit(root, dataset.version, operation(dataset), properties, operation)


def stored_rows(dataset: lance.LanceDataset, batch: str) -> pa.Table:
    """Columns id, image_url, messages of a batch: what tells whether its captions changed."""
    return dataset.to_table(columns=["id", "image_url", "messages"], filter=of_batch(batch))
