"""The scorers that decorators made known in this process."""

from __future__ import annotations

from typing import TypeVar

from lance_assets.errors import BadInput
from lance_assets.scoring.api import FIELDS, PREFIX, Scorer

#: Classes by the name of their scorer.
registered: dict[str, type[Scorer]] = {}
S = TypeVar("S", bound=type[Scorer])


def register(cls: S) -> S:
    """Class decorator: makes a scorer known by its name. Raises BadInput for a taken name or an unusable class."""
    taken = registered.get(cls.name)
    if taken is not None and (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
        raise BadInput(f"two scorers are called {cls.name}: {taken.__module__} and {cls.__module__}")
    check(cls)
    registered[cls.name] = cls
    return cls


def check(scorer: type[Scorer] | Scorer) -> None:
    """Raises BadInput for a name that no column can have, or a column that no scorer can read."""
    name = scorer.name
    where = scorer.__module__ if isinstance(scorer, type) else type(scorer).__module__
    if not name.isidentifier() or name != name.lower():
        raise BadInput(f"{name!r} of {where} cannot name a column: use lower-case letters, digits and _")
    if unknown := sorted(one for one in scorer.fields if one not in FIELDS and not one.startswith(PREFIX)):
        raise BadInput(f"the scorer {name} reads {', '.join(unknown)}; scorers can read {', '.join(FIELDS)}")
