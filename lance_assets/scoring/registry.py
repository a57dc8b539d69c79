"""Which scorers exist, and how a platform's settings choose and configure them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, TypeVar

from pydantic import ValidationError

from lance_assets.errors import BadInput
from lance_assets.scoring.api import FIELDS, Scorer

BUILT_IN = ("sharpness", "exposure", "caption_quality", "alignment", "duplicate")
"""The built-in scorers, in their default order; each lives in the module of its name."""

_known: dict[str, type[Scorer]] = {}
S = TypeVar("S", bound=type[Scorer])


def register(cls: S) -> S:
    """Class decorator: makes a scorer known by its name. Raises BadInput for a taken name or an unusable class."""
    taken = _known.get(cls.name)
    if taken is not None and (taken.__module__, taken.__qualname__) != (cls.__module__, cls.__qualname__):
        raise BadInput(f"two scorers are called {cls.name}: {taken.__module__} and {cls.__module__}")
    if not cls.name.isidentifier() or cls.name != cls.name.lower():
        raise BadInput(f"{cls.name!r} of {cls.__module__} cannot name a column: use lower-case letters, digits and _")
    if unknown := sorted(set(cls.fields) - set(FIELDS)):
        raise BadInput(f"the scorer {cls.name} reads {', '.join(unknown)}; scorers can read {', '.join(FIELDS)}")
    _known[cls.name] = cls
    return cls


def known() -> dict[str, type[Scorer]]:
    """Every scorer class by name: the built-in ones first, in their default order, then others as registered."""
    for name in BUILT_IN:
        import_module(f"lance_assets.scoring.{name}")
    return {name: _known[name] for name in (*BUILT_IN, *(name for name in _known if name not in BUILT_IN))}


def scorers(
    names: Sequence[str] | None = None, settings: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Scorer]:
    """Configured scorers by name, in the order of `names` (None = all that are known).

    `settings` holds the config of a scorer by its name. Raises BadInput naming an unknown scorer or config key, and
    what exists instead.
    """
    classes = known()
    settings = settings or {}
    chosen = list(classes) if names is None else list(dict.fromkeys(names))
    for name in (*chosen, *settings):
        if name not in classes:
            raise BadInput(f"there is no scorer {name!r}; there are: {', '.join(classes)}")
    return {name: _configured(classes[name], settings.get(name, {})) for name in chosen}


def _configured(cls: type[Scorer], config: Mapping[str, Any]) -> Scorer:
    known_keys = ", ".join(cls.Config.model_fields) or "none"
    try:
        return cls(cls.Config(**config))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise BadInput(f"scorer {cls.name}: {key}: {first['msg']}; its settings are: {known_keys}") from error
