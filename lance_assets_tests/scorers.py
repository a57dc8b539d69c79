"""Cheap scorers for tests that count what they were asked for."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from lance_assets.scoring.api import PREFIX, Item, Rows, Scorer, ScorerConfig
from lance_assets.scoring.registry import join


class Token(ScorerConfig):
    """Keeps a process from taking a scorer for an equal one that it has loaded before."""

    operational = frozenset({"token"})
    token: str = Field(default_factory=lambda: uuid.uuid4().hex)


class Counted(Scorer):
    """The length of the caption; `asked` holds the ids of each call, `raises` may spoil a row."""

    version, fields, description = "1", ("messages",), "letters"
    Config = Token

    def __init__(self, name: str = "counted", version: str = "1", fields: Sequence[str] = ("messages",)) -> None:
        super().__init__()
        self.name, self.version, self.fields = name, version, tuple(fields)
        self.asked: list[list[str]] = []
        self.loads = 0
        self.raises: Callable[[Item], Exception | None] = lambda item: None
        self.broken: Exception | None = None

    def load(self, models: Path) -> None:
        self.loads += 1
        if self.broken:
            raise self.broken

    def score(self, items: Sequence[Item]) -> Any:
        assert isinstance(items, Rows)
        self.asked.append(items.table["id"].to_pylist())
        for item in items:
            if error := self.raises(item):
                raise error
        return pa.array([float(len(item.caption)) for item in items])

    @property
    def calls(self) -> list[str]:
        return [id for some in self.asked for id in some]


class Plus(Scorer):
    """Ten more than another scorer's column."""

    name, version, fields, description = "plus", "1", (f"{PREFIX}counted",), "ten more"

    def score(self, items: Sequence[Item]) -> Any:
        return [item.others[f"{PREFIX}counted"] + 10 for item in items]


def joined(*scorers: Scorer) -> dict[str, Scorer]:
    """By name, each told what makes the columns that it reads, as those of a platform are."""
    found = {scorer.name: scorer for scorer in scorers}
    join(found)
    return found
