"""How large the tables of `bench commit` are: the sizes of the issue, or smaller ones that end in seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Say = Callable[[str], None]

#: Rows and rows per fragment of the batch that is labelled in each table.
MEASURED, FRAGMENT = 1000, 250


@dataclass(frozen=True)
class Sizes:
    """`tables`: (batches, fragments of a batch, rows of a fragment) by what people call them, fewest batches first.
    `batches`: rows of a small and a large batch, in fragments of `large_fragment` rows. `fragments`: of the tables into
    which one column file is committed.
    `cells`: (batches, fragments of a batch, rows of a fragment, columns). `carried`: rows of a replaced batch."""

    tables: Mapping[str, tuple[int, int, int]]
    turns: int
    batches: tuple[int, int]
    large_fragment: int
    large_turns: int
    fragments: tuple[int, ...]
    commits: int
    cells: tuple[int, int, int, int]
    lookups: int
    carried: int


FULL = Sizes(
    tables={
        "10 batches of 1,000 rows": (10, 4, FRAGMENT),
        "100 batches of 1,000 rows": (100, 4, FRAGMENT),
        "1,000 batches of 2 rows": (1000, 1, 2),
        "5,000 batches of 2 rows": (5000, 1, 2),
    },
    turns=9,
    batches=(10_000, 100_000),
    large_fragment=2500,
    large_turns=5,
    fragments=(10, 100, 1000, 3000),
    commits=25,
    cells=(10, 10, 1000, 10),
    lookups=20,
    carried=10_000,
)

QUICK = Sizes(
    tables={"10 batches of 100 rows": (10, 4, 25), "500 batches of 2 rows": (500, 1, 2)},
    turns=3,
    batches=(1000, 5000),
    large_fragment=500,
    large_turns=2,
    fragments=(10, 300),
    commits=5,
    cells=(2, 5, 1000, 10),
    lookups=5,
    carried=2000,
)
