"""What a hub lists of a data set repository: checked, and cut down to the files of one split. Pure functions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lance_assets.errors import BadInput

SUFFIXES = (".parquet", ".csv", ".jsonl")
"""Files that are rows by themselves; sets of any other kind are loaded as a whole."""
SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""How file and folder names call a split, as `datasets` understands them."""
ABOUT = re.compile(r"(?:.*/)?(?:\.[^/]*|readme[^/]*|licen[cs]e[^/]*|dataset_infos\.json)", re.IGNORECASE)
"""Files about a set rather than of it."""
SHA256 = re.compile("[0-9a-f]{64}")
COMMIT = re.compile("(?!0{40})[0-9a-f]{40}")


@dataclass(frozen=True)
class Listed:
    """One file as the hub lists it: sha256 in hex ("" where the hub gives none), size in bytes (0 = not known). Or a
    `whole` split that counts as one file, with the digest of all."""

    path: str
    sha256: str
    size: int
    whole: bool = False


@dataclass(frozen=True)
class Listing:
    """All files of a repository, in path order, and the commit of the newest one where the hub tells it."""

    files: tuple[Listed, ...]
    commit: str | None

    def data(self) -> list[Listed]:
        """The files that are not merely about the set."""
        return [file for file in self.files if not ABOUT.fullmatch(file.path)]

    def digest(self, name: str = "") -> str:
        """sha256 (hex) of the paths and contents of the data files, and of a name for what is made of them."""
        lines = "".join(f"{file.sha256} {file.path}\n" for file in self.data())
        return hashlib.sha256(f"{name}\n{lines}".encode()).hexdigest()


def read_listing(entries: Iterable[Mapping[str, Any]], repo: str) -> Listing:
    """From the hub's own entries (Path, Type, Size, Sha256, Revision, CommittedDate); folders are left out.

    An entry's Revision is the commit that last changed the file, so the newest is the one that the branch stood at
    (short of commits that only deleted). Raises BadInput for paths that could leave the folder they are stored in.
    """
    files: dict[str, Listed] = {}
    newest: tuple[int, str] = (-1, "")
    for entry in entries:
        if entry.get("Type") == "tree":
            continue
        path, sha256 = entry.get("Path"), str(entry.get("Sha256") or "").lower()
        if not isinstance(path, str) or not is_safe(path):
            raise BadInput(f"the hub lists a file of {repo} with the path {path!r}, which is refused")
        files[path] = Listed(path, sha256, _number(entry.get("Size")))
        commit = str(entry.get("Revision") or "").lower()
        if COMMIT.fullmatch(commit):
            newest = max(newest, (_number(entry.get("CommittedDate")), commit))
    return Listing(tuple(files[path] for path in sorted(files)), newest[1] or None)


def is_safe(path: str) -> bool:
    """Whether a path stays inside any folder: relative, with / only, nothing empty, no dots alone, printable."""
    parts = path.split("/")
    return path.isprintable() and "\\" not in path and not any(part in ("", ".", "..") for part in parts)


def files_of_split(paths: Sequence[str], split: str) -> list[str]:
    """The data files of a split, sorted: those whose path names it; where no path names any split, all are train.

    The rule of `datasets` for repositories that do not say otherwise (a word ends at -, _, ., / or a digit).
    """
    data = sorted(path for path in paths if path.lower().endswith(SUFFIXES))
    words = {split: (split,), **SPLIT_WORDS}
    named = {path: _split_of(path, words) for path in data}
    if split == "train" and not any(named.values()):
        return data
    return [path for path in data if named[path] == split]


def choose(listing: Listing, repo: str, split: str, subset: str | None) -> list[Listed]:
    """The files of a split in path order, or the one that stands for all where the set has no files that are rows by
    themselves, or a subset is named. Raises BadInput: no such split, a file that cannot be checked once it is here."""
    rows = [file.path for file in listing.files if file.path.lower().endswith(SUFFIXES)]
    paths = set(files_of_split(rows, split))
    if subset is not None or (listing.data() and not rows):
        _check(listing.files, repo)
        name = f"{subset or 'default'}/{split}"
        return [Listed(name, listing.digest(name), sum(file.size for file in listing.data()), whole=True)]
    if not paths:
        holds = ", ".join(rows[:5]) or "no file at all"
        raise BadInput(f"the data set {repo} has no split {split!r}; it holds: {holds}")
    return _check([file for file in listing.files if file.path in paths], repo)


def _check(files: Sequence[Listed], repo: str) -> list[Listed]:
    for file in files:
        if not SHA256.fullmatch(file.sha256):
            raise BadInput(f"the hub lists {file.path} of {repo} without a sha256, so it cannot be checked")
    return list(files)


def _split_of(path: str, words: dict[str, tuple[str, ...]]) -> str | None:
    """The split that the file's name tells, else the one that its innermost telling folder tells."""
    for part in reversed(path.lower().split("/")):
        found = re.split(r"[-_. 0-9]+", part)
        for split, names in words.items():
            if any(name in found for name in names):
                return split
    return None


def _number(value: Any) -> int:
    """A whole number that is not negative; 0 for anything else."""
    return max(0, value) if isinstance(value, int) else 0
