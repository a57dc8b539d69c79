"""Scorers that live outside this package: named in platform.yaml as `module:attribute`, or by an entry point."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import isclass, isfunction
from pathlib import Path
from types import ModuleType

from lance_assets.errors import BadInput
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.functions import scorer_of

GROUP = "lance_assets.scorers"
#: What a plain function without a decorator is taken to read.
PLAIN_FIELDS = ("image", "messages", "caption_missing")


def scorer_named(uses: str, folder: Path) -> type[Scorer]:
    """The scorer class behind `module:attribute`; a plain function of an item becomes one. The module is a file of
    `folder` (the platform's home), or importable. Raises BadInput."""
    module_name, colon, attribute = uses.partition(":")
    if not colon or not module_name or not attribute.isidentifier():
        raise BadInput(f"{uses!r} names no scorer: it must be module:attribute")
    module = _module(module_name, folder)
    if not hasattr(module, attribute):
        raise BadInput(f"{uses}: {module.__file__} has no {attribute}")
    return _class_of(getattr(module, attribute), uses)


@cache
def advertised() -> dict[str, EntryPoint]:
    """The entry points of installed packages, by the name of their scorer; nothing is imported."""
    return {point.name: point for point in entry_points(group=GROUP)}


def scorer_advertised(name: str) -> type[Scorer]:
    """The scorer class of an entry point. Raises BadInput where its package cannot be imported."""
    point = advertised()[name]
    where = f"the entry point {name} ({point.value})"
    try:
        found = point.load()
    except Exception as error:  # somebody else's module may raise anything
        raise BadInput(f"{where} cannot be loaded: {type(error).__name__}: {error}") from error
    return _class_of(found, where)


def from_a_file(scorer: Scorer) -> ModuleType | None:
    """The module of a scorer that lies in the platform's home: other machines cannot import it."""
    module = sys.modules.get(type(scorer).__module__)
    return module if module is not None and hasattr(module, _MARK) else None


#: Set on modules that were loaded from the home: when their file was last written, in nanoseconds.
_MARK = "__lance_assets_written__"


def _module(name: str, folder: Path) -> ModuleType:
    file = folder.joinpath(*name.split(".")).with_suffix(".py")
    try:
        return _from_file(name, file) if file.is_file() else import_module(name)
    except Exception as error:  # somebody else's module may raise anything
        where = file if file.is_file() else f"the module {name} (no file {file.name} in {folder} either)"
        raise BadInput(f"{where} cannot be loaded: {type(error).__name__}: {error}") from error


def _from_file(name: str, file: Path) -> ModuleType:
    """Loaded anew where the file changed, or where another home has a module of this name."""
    written = file.stat().st_mtime_ns
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(file) and getattr(known, _MARK, None) == written:
        return known
    if known is not None and not hasattr(known, _MARK):
        raise ImportError(f"there is an installed module {name}: give the file another name")
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    setattr(module, _MARK, written)
    return module


def _class_of(found: object, where: str) -> type[Scorer]:
    if isclass(found) and issubclass(found, Scorer):
        return found
    if isfunction(found):
        return scorer_of(found, "1", PLAIN_FIELDS)
    raise BadInput(f"{where} is no scorer: neither a class made from Scorer nor a function of an item")
