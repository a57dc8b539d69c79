"""A scorer from a plain function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from lance_assets.errors import BadInput
from lance_assets.scoring.api import Item, RowScorer, Scorer, ScorerConfig, Served
from lance_assets.scoring.known import register


class FunctionScorer(RowScorer):
    """One row at a time by `function(item)`, or by `function(item, config)` where it has a config."""

    function: Callable[..., Any]

    def score_one(self, item: Item) -> Any:
        function = type(self).function
        return function(item) if type(self).Config is ScorerConfig else function(item, self.config)


def scorer(
    *,
    version: str,
    fields: Sequence[str],
    name: str | None = None,
    type: pa.DataType | None = None,
    config: type[ScorerConfig] | None = None,
    unit: str | None = None,
    bounds: tuple[float, float] | None = None,
    served: Served | None = None,
) -> Callable[[Callable[..., Any]], type[Scorer]]:
    """Decorator: makes and registers a scorer from a function that takes an Item and returns the value of its row.

    Its docstring becomes the description; the other arguments are those of Scorer (without bounds, a unit of its own
    has none). What the function raises fails the row alone.
    """

    said = {"name": name, "type": type, "Config": config, "unit": unit, "bounds": bounds, "served": served}

    def made(function: Callable[..., Any]) -> type[Scorer]:
        return register(scorer_of(function, version, fields, **said))

    return made


def scorer_of(function: Callable[..., Any], version: str, fields: Sequence[str], **said: Any) -> type[Scorer]:
    """The class of a function; `said` holds more class attributes of Scorer, None = as they are there. Raises BadInput
    for a function that does not take an item (and its config)."""
    expected = 1 if said.get("Config") is None else 2
    if len(inspect.signature(function).parameters) != expected:
        wanted = "an item" if expected == 1 else "an item and its config"
        raise BadInput(f"{function.__module__}.{function.__qualname__} cannot score: it must take {wanted}")
    members = {
        "name": function.__name__,
        "bounds": Scorer.bounds if said.get("unit") is None else None,
        **{key: value for key, value in said.items() if value is not None},
        "version": version,
        "fields": tuple(fields),
        "description": inspect.getdoc(function) or function.__name__,
        "function": staticmethod(function),
        "__module__": function.__module__,
        "__qualname__": function.__qualname__,
        "__doc__": function.__doc__,
    }
    return type(function.__qualname__, (FunctionScorer,), members)
