"""Which scorers exist, and how a platform's settings choose and configure them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lance_assets.errors import BadInput
from lance_assets.scoring.api import PREFIX, Scorer, Served
from lance_assets.scoring.known import check, register, registered
from lance_assets.scoring.outcome import describe
from lance_assets.scoring.plugins import advertised, scorer_advertised, scorer_named

DEFAULT = ("sharpness", "exposure", "caption_quality", "alignment", "duplicate")
"""The built-in scorers that a platform has unless its settings say otherwise, in their order."""
BUILT_IN = (*DEFAULT, "resolution", "entropy", "caption_language", "clip", "brisque", "nsfw", "judge")
"""All of them; each lives in the module of its name."""

__all__ = ["BUILT_IN", "DEFAULT", "Entry", "configured", "in_the_pass", "join", "known", "reads", "register", "scorers"]


@dataclass(frozen=True)
class Entry:
    """A scorer that somebody wants: by name; `uses` (module:attribute) for one of their own. `version` and `served`
    replace what the scorer itself says."""

    name: str
    uses: str | None = None
    version: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    served: Mapping[str, Any] | None = None


def known() -> dict[str, type[Scorer]]:
    """Every scorer class by name: the built-in ones first, in their order, then others as registered."""
    for name in BUILT_IN:
        import_module(f"lance_assets.scoring.{name}")
    return {name: registered[name] for name in (*BUILT_IN, *(name for name in registered if name not in BUILT_IN))}


def scorers(
    names: Sequence[str] | None = None, settings: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Scorer]:
    """Configured scorers by name, in the order of `names` (None = the default ones); `settings` holds configs by name.
    Raises BadInput as `configured` does, and for settings of an unknown scorer."""
    settings = settings or {}
    chosen = DEFAULT if names is None else names
    for name in settings:
        _class_named(name)
    return configured([Entry(name, config=settings.get(name, {})) for name in chosen])


def configured(
    entries: Sequence[Entry] | None, folder: Path = Path(), defaults: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Scorer]:
    """The scorers of a platform by name, in order. `folder` is its home, where files of its own lie; `defaults` holds
    configs of built-in scorers by name, each setting of which an entry may replace.

    Without entries, or where all of them are somebody's own (`uses`), the default ones and those that installed
    packages advertise come first. Raises BadInput naming an unknown scorer or config key and what exists instead.
    """
    entries = list(entries or ())
    counts = Counter(entry.name for entry in entries)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise BadInput(f"{' and '.join(twice)}: two scorers of one name cannot share a column")
    if all(entry.uses for entry in entries):
        there = dict.fromkeys((*DEFAULT, *advertised()))
        entries = [*(Entry(name) for name in there if name not in counts), *entries]
    told = defaults or {}
    made = {entry.name: _configured(entry, folder, told.get(entry.name, {})) for entry in entries}
    join(made)
    return made


def reads(scorer: Scorer) -> list[str]:
    """Names of the scorers whose columns it reads."""
    return [field.removeprefix(PREFIX) for field in scorer.fields if field.startswith(PREFIX)]


def in_the_pass(scorer: Scorer) -> bool:
    """Whether it runs inside the label tasks: such scorers that are asked for together share one pass over a batch."""
    return not scorer.across and scorer.served is None and not reads(scorer)


def join(made: Mapping[str, Scorer]) -> None:
    """Tells each scorer what makes the columns that it reads. Raises BadInput for a column that no scorer makes, or
    scorers that read each other's."""
    for name in made:
        _join(name, made, [])


def _join(name: str, made: Mapping[str, Scorer], path: Sequence[str]) -> str:
    """Tells a scorer what makes the columns that it reads; returns what makes its own. Raises BadInput."""
    scorer = made[name]
    if name in path:
        raise BadInput(f"the scorers {' and '.join(path[path.index(name) :])} read each other's columns")
    for read in reads(scorer):
        if read not in made:
            raise BadInput(f"the scorer {name} reads {PREFIX}{read}, and no scorer {read} is configured")
        makes = _join(read, made, [*path, name])
        if f"{PREFIX}{read}" not in scorer.hints:
            scorer.upstream[read] = makes
            scorer.upstream_inputs |= {*made[read].inputs}
    return f"{scorer.version} {scorer.config_hash()}"


def _class_named(name: str) -> type[Scorer]:
    if name not in registered and name in BUILT_IN:
        import_module(f"lance_assets.scoring.{name}")
    if name in registered:
        return registered[name]
    if name in advertised():
        return scorer_advertised(name)
    there = dict.fromkeys((*BUILT_IN, *registered, *advertised()))
    raise BadInput(f"there is no scorer {name!r}; there are: {', '.join(there)}")


def _configured(entry: Entry, folder: Path, told: Mapping[str, Any]) -> Scorer:
    cls = scorer_named(entry.uses, folder) if entry.uses else _class_named(entry.name)
    config = _validated(entry.name, "", cls.Config, entry.config if entry.uses else {**told, **entry.config})
    try:
        scorer = cls(config)
    except Exception as error:  # somebody else's class may raise anything
        raise BadInput(f"the scorer {entry.name} cannot be made: {describe(error)}") from error
    scorer.name = entry.name
    if entry.version:
        scorer.version = entry.version
    if entry.served is not None:
        if cls.served is None:
            raise BadInput(f"scorer {entry.name}: served: it runs inside the label tasks and is not served")
        scorer.served = _validated(entry.name, "served.", Served, {**cls.served.model_dump(), **entry.served})
    check(scorer)
    return scorer


def _validated(name: str, prefix: str, model: type[Any], said: Mapping[str, Any]) -> Any:
    try:
        return model(**said)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        known_keys = ", ".join(model.model_fields) or "none"
        raise BadInput(f"scorer {name}: {prefix}{key}: {first['msg']}; its settings are: {known_keys}") from error
