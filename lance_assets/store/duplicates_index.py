"""An index of what is grouped already, so that comparing new rows costs the same in a table of any size.

It is a cache on this machine, made anew where it is missing or damaged: a folder with a file of SQLite and runs of keys
(see duplicates_bands). The table is the truth: a pass begins by comparing which column files the index has taken in
with those that the table refers to now, and reads only the others. Pictures that look the same and say the same are
kept once, however many there are.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from lance_assets.store.duplicates import Kind, Near, band_keys, distance, is_hash
from lance_assets.store.duplicates_bands import find, write_run
from lance_assets.store.files import DataRoot

#: Prints looked up at a time: bounds the memory of their candidates.
CHUNK = 8192
FORMAT = 1
#: What SQLite may keep in memory of its file, and read without copying.
CACHE_KIB, MAPPED_BYTES = 64 << 10, 1 << 30
#: Everything is added at an end. Numbers are never used again: those of prints that went stay in the runs.
TABLES = """
CREATE TABLE files (file INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE runs (run INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE prints (print INTEGER PRIMARY KEY AUTOINCREMENT, value BLOB NOT NULL);
CREATE TABLE kinds (kind INTEGER PRIMARY KEY AUTOINCREMENT, print INTEGER NOT NULL,
                    low TEXT NOT NULL, high TEXT NOT NULL, first TEXT NOT NULL, sha256 TEXT NOT NULL,
                    row INTEGER NOT NULL);
CREATE INDEX kinds_of_prints ON kinds (print);
CREATE TABLE held (file INTEGER, kind INTEGER, PRIMARY KEY (file, kind)) WITHOUT ROWID;
CREATE INDEX held_kinds ON held (kind);
"""


class Index:
    """What is grouped, by print, for look-ups within `radius` bits, in a folder. Files are called by names that tell
    their contents. Raises sqlite3.DatabaseError or DamagedRun where the folder is damaged."""

    def __init__(self, folder: Path, radius: int) -> None:
        self.folder, self.radius = folder, radius
        folder.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(folder / "index.sqlite", timeout=60)
        self.db.executescript(f"PRAGMA cache_size = -{CACHE_KIB}; PRAGMA mmap_size = {MAPPED_BYTES};")
        [[found]] = self.db.execute("PRAGMA user_version")
        if found != FORMAT:
            self.db.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {FORMAT}; COMMIT;")
        self._tidy()

    def files(self) -> list[str]:
        """Names of the files taken in."""
        return [name for [name] in self.db.execute("SELECT name FROM files")]

    def take(self, files: Mapping[str, Iterable[tuple[bytes, Kind]]]) -> None:
        """Takes in the prints of some files and what they say, all or nothing."""
        said = {name: list(dict.fromkeys(pairs)) for name, pairs in files.items()}
        prints = self._numbers({print for pairs in said.values() for print, _ in pairs})
        kinds = {(at, kind): number for at in prints.values() for number, kind in self._kinds(at)}
        file, kind, number_of_print = (self._last(table) for table in ("files", "kinds", "prints"))
        new_prints: list[tuple[int, bytes]] = []
        new_kinds: list[tuple[int | str, ...]] = []
        held: list[tuple[int, int]] = []
        for number, pairs in enumerate(said.values(), file + 1):
            for print, one in pairs:
                if print not in prints:
                    prints[print] = number_of_print + 1 + len(new_prints)
                    new_prints.append((prints[print], print))
                if (prints[print], one) not in kinds:
                    kinds[prints[print], one] = kind + 1 + len(new_kinds)
                    new_kinds.append((kinds[prints[print], one], prints[print], *one))
                held.append((number, kinds[prints[print], one]))
        keys = band_keys([print for _, print in new_prints], self.radius)
        numbers = [
            number for mine, (number, _) in zip(keys, new_prints, strict=True) for number in [number] * len(mine)
        ]
        runs = write_run(self.folder, list(chain.from_iterable(keys)), numbers, self._runs())
        with self.db:
            self.db.executemany("INSERT INTO files VALUES (?, ?)", enumerate(said, file + 1))
            self.db.executemany("INSERT INTO prints VALUES (?, ?)", new_prints)
            self.db.executemany("INSERT INTO kinds VALUES (?, ?, ?, ?, ?, ?, ?)", new_kinds)
            self.db.executemany("INSERT INTO held VALUES (?, ?)", held)
            self.db.execute("DELETE FROM runs")
            self.db.executemany("INSERT INTO runs (name) VALUES (?)", [(name,) for name in runs])
        self._tidy()

    def drop(self, name: str) -> None:
        """Forgets a file, and what only it said. The keys of its prints stay, and lead nowhere."""
        with self.db:
            [[file]] = self.db.execute("SELECT file FROM files WHERE name = ?", (name,))
            alone = self.db.execute(
                "SELECT kind, print FROM held AS mine JOIN kinds USING (kind) WHERE file = ? AND NOT EXISTS "
                "(SELECT 1 FROM held AS other WHERE other.kind = mine.kind AND other.file <> mine.file)",
                (file,),
            ).fetchall()
            self.db.execute("DELETE FROM held WHERE file = ?", (file,))
            self.db.execute("DELETE FROM files WHERE file = ?", (file,))
            self.db.executemany("DELETE FROM kinds WHERE kind = ?", [(kind,) for kind, _ in alone])
            self.db.executemany(
                "DELETE FROM prints WHERE print = ?1 AND NOT EXISTS (SELECT 1 FROM kinds WHERE print = ?1)",
                sorted({(print,) for _, print in alone}),
            )

    def near(self, prints: Iterable[bytes], radius: int) -> Near:
        """The kinds within the radius of each print that has any, with the bits between them."""
        if radius > self.radius:
            raise ValueError(f"an index for {self.radius} bits finds not all within {radius}")
        found: dict[bytes, list[tuple[int, Kind]]] = {}
        known: dict[int, list[Kind]] = {}
        for print, bits, number in self._near(list(prints), radius):
            if number not in known:
                known[number] = [kind for _, kind in self._kinds(number)]
            found.setdefault(print, []).extend((bits, kind) for kind in known[number])
        return found

    def close(self) -> None:
        self.db.close()

    def _near(self, prints: Sequence[bytes], radius: int) -> Iterator[tuple[bytes, int, int]]:
        """(print asked for, bits, number of a stored print)."""
        for start in range(0, len(prints), CHUNK):
            some = prints[start : start + CHUNK]
            keys = band_keys(some, self.radius)
            of = np.repeat(np.arange(len(some)), [len(mine) for mine in keys])
            at, numbers = find(self.folder, self._runs(), np.array(list(chain.from_iterable(keys)), np.int64))
            candidates = np.unique(np.stack([numbers, of[at]]), axis=1)
            values = self._values(np.unique(candidates[0]).tolist())
            for number, asked in candidates.T.tolist():
                if (value := values.get(number)) is not None and is_hash(value) == is_hash(some[asked]):
                    bits = distance(value, some[asked])
                    if bits <= radius:
                        yield some[asked], bits, number

    def _numbers(self, prints: Iterable[bytes]) -> dict[bytes, int]:
        """Numbers of those prints that are stored."""
        return {print: number for print, _, number in self._near(list(prints), 0)}

    def _values(self, numbers: Sequence[int]) -> dict[int, bytes]:
        """Stored prints by number; none for those that went."""
        rows = (self.db.execute("SELECT print, value FROM prints WHERE print = ?", (one,)) for one in numbers)
        return dict(row for found in rows for row in found)

    def _kinds(self, print: int) -> list[tuple[int, Kind]]:
        found = self.db.execute("SELECT kind, low, high, first, sha256, row FROM kinds WHERE print = ?", (print,))
        return [(kind, Kind(*row)) for kind, *row in found]

    def _last(self, table: str) -> int:
        """The largest number that a table ever gave."""
        found = self.db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchall()
        return found[0][0] if found else 0

    def _runs(self) -> list[str]:
        return [name for [name] in self.db.execute("SELECT name FROM runs ORDER BY run")]

    def _tidy(self) -> None:
        """Deletes the runs that were merged, or left by a kill."""
        used = {*self._runs()}
        for path in self.folder.glob("*.npy"):
            if path.name not in used:
                path.unlink()


def index_folder(cache: Path, root: DataRoot, by: str) -> Path:
    """Where the index of a table lies, for cells that were made in one way. Those for other ways are deleted."""
    table = hashlib.sha256(root.uri.encode()).hexdigest()[:16]
    folder = cache / f"{table}-{re.sub(r'[^a-z0-9]+', '-', by)}"
    for old in cache.glob(f"{table}-*"):
        if old != folder:
            shutil.rmtree(old)
    return folder
