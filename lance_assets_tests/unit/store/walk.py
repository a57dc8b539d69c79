"""A random walk over the store, and a model of what each cell must hold that knows nothing of fragments or files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa

from lance_assets.store.cells import Cells
from lance_assets.store.compact import compact
from lance_assets.store.files import DataRoot
from lance_assets.store.intents import Part
from lance_assets.store.labelling import label_batch
from lance_assets.store.staleness import Identity, all_stale_cells
from lance_assets.store.table import ensure_images, open_images
from lance_assets.store.verify import verify
from lance_assets_tests.labels import SHARP, WORDS, Labeller, expected
from lance_assets_tests.unit.store import scenes
from lance_assets_tests.unit.store.scenes import OK, PERMANENT, REFUSED, TRANSIENT, Row

MOOD = Identity("score_mood", "mood", "1", "c0ffee", ("image", "messages"))
Cell = tuple[str, str]
#: Steps of a walk and how often they come, relative to each other; a kill is a labelling that is killed.
WEIGHTS = {"label": 5, "kill": 2, "replace": 4, "append": 2, "bump": 2, "compact": 2, "add_column": 1}


class Killed(BaseException):
    """The end of a pass, right before one of its commits."""


@dataclass
class Held:
    """What a cell holds: made by which identity, from which row, in which state."""

    identity: Identity
    row: Row
    state: int


@dataclass
class Walk:
    """The store, its model, and steps that do the same to both. Row ids are `<batch>/<number>`."""

    root: DataRoot
    random: np.random.Generator
    batches: dict[str, list[Row]] = field(default_factory=dict)
    columns: dict[str, Identity] = field(default_factory=lambda: {one.column: one for one in (SHARP, WORDS)})
    cells: dict[Cell, Held] = field(default_factory=dict)
    failing: float = 0.0
    failures: Sequence[int] = (TRANSIENT, PERMANENT, REFUSED)
    scored: dict[Cell, int] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        ensure_images(self.root)
        self.labeller = Labeller(self.root, cells=self._score)

    def _score(self, identity: Identity, rows: pa.Table) -> Cells:
        ids = rows["id"].to_pylist()
        failed = self.random.random(len(ids)) < self.failing
        states = np.where(failed, self.random.choice(self.failures, len(ids)), OK)
        for id, state in zip(ids, states.tolist(), strict=True):
            cell = identity.column, id
            assert cell not in self.scored, f"{cell} was scored twice in one pass"
            self.scored[cell] = state
        numbers = [value_of(identity, self._row(id)) for id in ids]
        return Cells.of(np.array(numbers), states.astype(np.uint8))

    def _row(self, id: str) -> tuple[str, Row]:
        batch, _, number = id.rpartition("/")
        return id, next(row for row in self.batches[batch] if row.number == int(number))

    def store(self, batch: str, rows: list[Row]) -> None:
        """Appends or replaces a batch, cut into one to three fragments."""
        self.log.append(f"store {batch}: {[(row.number, row.image, row.words) for row in rows]}")
        cuts = np.sort(self.random.integers(0, len(rows) + 1, self.random.integers(0, 3)))
        edges = [0, *cuts.tolist(), len(rows)]
        scenes.store(self.root, batch, *[rows[a:b] for a, b in pairwise(edges) if b > a])
        self.batches[batch] = rows
        now = {f"{batch}/{row.number}": row for row in rows}
        for (column, id), held in list(self.cells.items()):
            if id.rpartition("/")[0] == batch and inputs(held.identity, now.get(id)) != inputs(held.identity, held.row):
                del self.cells[column, id]

    def append(self) -> None:
        batch = f"b{len(self.batches)}"
        self.store(batch, [Row(number) for number in range(int(self.random.integers(1, 10)))])

    def replace(self) -> None:
        """Rows get another image, caption or address, go, come, or change places."""
        batch = str(self.random.choice(list(self.batches)))
        rows: list[Row] = []
        for row in self.batches[batch]:
            luck = self.random.random()
            change = {"image": 1000 + int(self.random.integers(99))} if luck < 0.15 else {}
            change |= {"words": f"Words {self.random.integers(99)}."} if 0.1 < luck < 0.25 else {}
            change |= {"url": "http://example.net/"} if 0.25 < luck < 0.3 else {}
            rows += [] if luck > 0.9 else [replace(row, **change)]
        numbers = {row.number for row in rows}
        new = self.random.integers(0, 20, self.random.integers(0, 3)).tolist()
        rows += [Row(number) for number in sorted(set(new) - numbers)]
        if self.random.random() < 0.2:
            rows = [rows[at] for at in self.random.permutation(len(rows))]
        self.store(batch, rows)

    def bump(self) -> None:
        """Another version or config of one column."""
        column = str(self.random.choice(list(self.columns)))
        before = self.columns[column]
        after = replace(before, version=f"{int(before.version) + 1}")
        if self.random.random() < 0.3:
            after = replace(before, config_hash=f"{before.config_hash}+")
        self.columns[column] = after
        self.log.append(f"bump {column} to {after.version} {after.config_hash}")

    def add_column(self) -> None:
        self.columns.setdefault(MOOD.column, MOOD)
        self.log.append("a column more")

    def compact(self) -> None:
        target = int(self.random.integers(3, 15))
        self.log.append(f"compact to {target} rows a fragment")
        compact(self.root, target, [str(self.random.choice([*self.batches]))] if self.random.random() < 0.5 else None)

    def label(self, killed: bool = False) -> None:
        """A pass over some columns of a batch; `killed` = it dies before one of its commits, and is run again."""
        count = int(self.random.integers(1, len(self.columns) + 1))
        names = [str(name) for name in self.random.permutation(list(self.columns))[:count]]
        self.pass_over(str(self.random.choice(list(self.batches))), names, killed)

    def pass_over(self, batch: str, names: Sequence[str], killed: bool = False) -> None:
        wanted = [self.columns[name] for name in names]
        last = names[int(self.random.integers(len(names)))] if killed else None
        self.log.append(f"label {batch}: {names}, {self.failing} fail, killed before {last}")
        self.scored = {}
        stale = {(one.column, id) for one in wanted for id in self.ids(batch) if self.is_stale(one, id)}

        def accept(column: str, parts: Sequence[Part]) -> None:
            if column == last:
                raise Killed

        try:
            outcomes = label_batch(self.root, batch, wanted, "run", self.labeller.jobs(wanted), accept)
            assert [outcome.error for outcome in outcomes] == [None] * len(wanted)
        except Killed:
            once, self.scored = self.scored, {}
            label_batch(self.root, batch, wanted, "again", self.labeller.jobs(wanted))
            published = names[: names.index(last or "")]
            again = {cell for cell, state in once.items() if cell[0] in published and state == TRANSIENT}
            assert set(self.scored) == again, "the rest was announced"
            self.scored = once | self.scored
        assert set(self.scored) == stale
        for (column, id), state in self.scored.items():
            self.cells[column, id] = Held(self.columns[column], self._row(id)[1], state)

    def ids(self, batch: str) -> list[str]:
        return [f"{batch}/{row.number}" for row in self.batches[batch]]

    def is_stale(self, identity: Identity, id: str) -> bool:
        held = self.cells.get((identity.column, id))
        return held is None or held.identity != identity or held.state == TRANSIENT

    def quiet(self) -> None:
        """Every batch is labelled without failures; then nothing is stale and all is as the model says."""
        self.failing = 0
        for batch in self.batches:
            self.pass_over(batch, list(self.columns))
        self.check()
        stale = all_stale_cells(self.root, open_images(self.root), list(self.columns.values()))
        assert not any(stale.values()), stale
        assert verify(self.root, deep=True).problems == []

    def check(self) -> None:
        """The table holds the rows and the cells of the model, and nothing else."""
        ids = {id for batch in self.batches for id in self.ids(batch)}
        for column in self.columns.keys() & set(open_images(self.root).schema.names):
            found = scenes.cells(self.root, column)
            assert set(found) == ids
            assert found == {id: self._cell(column, id) for id in ids}

    def _cell(self, column: str, id: str) -> tuple[float | None, int | None]:
        if (held := self.cells.get((column, id))) is None:
            return None, None
        value = float(np.float32(value_of(held.identity, (id, held.row))))
        return value if held.state == OK else None, held.state


def inputs(identity: Identity, row: Row | None) -> tuple[int, str] | None:
    """What a scorer sees of a row: its image always, its caption where it reads that."""
    if row is None:
        return None
    return row.number if row.image is None else row.image, row.words if "messages" in identity.fields else ""


def value_of(identity: Identity, row: tuple[str, Row]) -> float:
    image, words = inputs(identity, row[1]) or (0, "")
    sha256 = hashlib.sha256(scenes.cached_picture(image)).hexdigest()
    return expected(identity, f"{row[0]}{words}", sha256)
