"""Which fragments make up which batch, and which data files the table still refers to."""

from __future__ import annotations

import lance

from lance_assets.store.columns import owner
from lance_assets.store.files import DataRoot
from lance_assets.store.ledger import IMAGE, History
from lance_assets.store.table import open_images

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
        keys = [intents[0].batch] if intents else first_batch(dataset, fragment)
        for key in keys:
            found.setdefault(key, []).append(fragment.fragment_id)
    return found


def first_batch(dataset: lance.LanceDataset, fragment: lance.LanceFragment) -> list[str]:
    """The batch key that the first row of a fragment says; none where it has no row."""
    return dataset.scanner(columns=["batch"], fragments=[fragment], limit=1).to_table()["batch"].to_pylist()


class Used:
    """The data files that any version of the table refers to. Each version is looked at once: asking again costs only
    what landed since."""

    def __init__(self, root: DataRoot) -> None:
        self.root = root
        self.versions: set[int] = set()
        self.files: set[str] = set()

    def now(self) -> set[str]:
        """Names of the files."""
        for version in _versions(self.root) - self.versions:
            try:
                dataset = open_images(self.root, version)
            except (OSError, ValueError):
                if version in _versions(self.root):
                    raise
                continue  # it went meanwhile, and refers to nothing
            self.files |= {str(file.path) for one in dataset.get_fragments() for file in one.data_files()}
            self.versions.add(version)
        return self.files


def _versions(root: DataRoot) -> set[int]:
    return {one["version"] for one in open_images(root).versions()}
