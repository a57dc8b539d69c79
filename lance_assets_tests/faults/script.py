"""Seeded scripts: what a run of the platform does to a small table, step by step, drawn from one number."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["store", "replace", "label", "relabel", "column", "compact", "cleanup", "merge"]

#: (number, picture, words): the same number is the same id; another picture or other words are a changed row.
Row = tuple[int, int, int]
ROWS = 20
SCORERS: tuple[str, ...] = ("sharp", "words", "calm")

#: What happens after the first two batches are stored, in an order that the seed decides.
DECK: tuple[Kind, ...] = (
    "store",
    "label",
    "label",
    "relabel",
    "relabel",
    "replace",
    "replace",
    "column",
    "compact",
    "compact",
    "cleanup",
    "cleanup",
    "merge",
)


@dataclass(frozen=True)
class Step:
    """One operation. `slices` are the rows of each image file of `batch`, `scorers` the versions of those asked."""

    kind: Kind
    batch: str = ""
    slices: list[list[Row]] = field(default_factory=list)
    scorers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> Step:
        return cls(**said)

    def __str__(self) -> str:
        return f"{self.kind} {self.batch}".strip()


def script(seed: int) -> list[Step]:
    """Two batches, then the deck, shuffled, and in the end every batch is labelled, so that nothing is left stale."""
    dice = random.Random(seed)
    deck = dice.sample(DECK, len(DECK))
    return list(_played(dice, ("store", "store", "label", *deck)))


def _played(dice: random.Random, kinds: Sequence[Kind]) -> Iterator[Step]:
    batches: dict[str, list[list[Row]]] = {}
    scorers = dict.fromkeys(SCORERS[:2], "1")
    for kind in kinds:
        if kind == "store":
            name = f"batch-{len(batches)}"
            batches[name] = [_new_slice(number) for number in range(dice.randint(3, 4))]
            yield Step(kind, name, batches[name])
        elif kind == "replace":
            name = dice.choice(list(batches))
            batches[name] = _changed(dice, batches[name])
            yield Step(kind, name, batches[name])
        elif kind == "label":
            yield Step(kind, dice.choice(list(batches)), scorers=dict(scorers))
        elif kind == "relabel":
            bumped = dice.choice(list(scorers))
            scorers[bumped] = str(int(scorers[bumped]) + 1)
            yield Step(kind, dice.choice(list(batches)), scorers=dict(scorers))
        elif kind == "column":
            scorers[SCORERS[2]] = "1"
            yield Step(kind, scorers={SCORERS[2]: "1"})
        else:
            yield Step(kind)
    for name in batches:
        yield Step("label", name, scorers=dict(scorers))


def _new_slice(number: int) -> list[Row]:
    return [(row, 0, 0) for row in range(number * ROWS, (number + 1) * ROWS)]


def _changed(dice: random.Random, slices: list[list[Row]]) -> list[list[Row]]:
    """Some rows of one or two slices get another picture or other words; one may go, and a slice may be new."""
    after = [list(one) for one in slices]
    for one in dice.sample(after, dice.randint(1, 2)):
        for at in dice.sample(range(len(one)), 3):
            number, picture, words = one[at]
            one[at] = (number, picture + 1, words) if dice.random() < 0.5 else (number, picture, words + 1)
        if dice.random() < 0.4:
            one.pop(dice.randrange(len(one)))
    if dice.random() < 0.3:
        after.append(_new_slice(1 + max(row[0] for one in after for row in one) // ROWS))
    return after
