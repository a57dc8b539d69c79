"""Which fragments make up which batch, and which data files the table still refers to."""

from __future__ import annotations

from collections.abc import Iterable

import lance

from lance_assets.store.columns import owner
from lance_assets.store.files import DataRoot
from lance_assets.store.ledger import IMAGE, History

DATA = "images.lance/data"


class FragmentGone(RuntimeError):
    """The fragment was replaced or compacted since we planned: plan again from the batch key."""


def fragment_at(dataset: lance.LanceDataset, number: int) -> lance.LanceFragment:
    """Raises FragmentGone."""
    fragment = dataset.get_fragment(number)
    if fragment is None:
        raise FragmentGone(f"fragment {number} is gone")
    return fragment


def image_file(dataset: lance.LanceDataset, fragment: lance.LanceFragment) -> str:
    """Name of the data file that holds the images of a fragment."""
    field = dataset.lance_schema.field(IMAGE)
    return (owner(fragment, field.id()) if field else None) or ""


def by_batch(dataset: lance.LanceDataset, known: History) -> dict[str, list[int]]:
    """Fragment numbers by batch key, in table order. A fragment belongs to one batch: the ledger's row about its image
    file tells which, or else its first row."""
    found: dict[str, list[int]] = {}
    for fragment in dataset.get_fragments():
        intents = known.get((IMAGE, image_file(dataset, fragment)))
        keys = [intents[0].batch] if intents else _first_batch(dataset, fragment)
        for key in keys:
            found.setdefault(key, []).append(fragment.fragment_id)
    return found


def _first_batch(dataset: lance.LanceDataset, fragment: lance.LanceFragment) -> list[str]:
    return dataset.scanner(columns=["batch"], fragments=[fragment], limit=1).to_table()["batch"].to_pylist()


def files_of(dataset: lance.LanceDataset) -> set[str]:
    """Names of the data files that one version refers to."""
    return {str(file.path) for fragment in dataset.get_fragments() for file in fragment.data_files()}


def files_of_all(root: DataRoot, versions: Iterable[int]) -> set[str]:
    """Names of the data files that any of the versions refers to; one that went meanwhile refers to none."""
    found: set[str] = set()
    for version in versions:
        try:
            found |= files_of(lance.dataset(root.images, version=version))
        except (OSError, ValueError):
            if version in {one["version"] for one in lance.dataset(root.images).versions()}:
                raise
    return found
