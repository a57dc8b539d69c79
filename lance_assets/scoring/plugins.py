"""Scorers that live outside this package: named in platform.yaml as `module:attribute`, or by an entry point."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from hashlib import sha256
from importlib import import_module
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from inspect import isclass, isfunction
from pathlib import Path
from types import CodeType, ModuleType

from lance_assets.errors import BadInput
from lance_assets.scoring.api import Scorer
from lance_assets.scoring.functions import scorer_of
from lance_assets.scoring.known import registered
from lance_assets.scoring.outcome import describe

GROUP = "lance_assets.scorers"
#: What a plain function without a decorator is taken to read.
PLAIN_FIELDS = ("image", "messages", "caption_missing")


def scorer_named(uses: str, folder: Path) -> type[Scorer]:
    """The scorer class behind `module:attribute`; a plain function of an item becomes one. The module is a file of
    `folder` (the platform's home), or importable. Raises BadInput."""
    module_name, _, attribute = uses.partition(":")
    if not all(part.isidentifier() for part in (*module_name.split("."), attribute)):
        raise BadInput(f"{uses!r} names no scorer: it must be module:attribute")
    module = _module(module_name, folder)
    if not hasattr(module, attribute):
        raise BadInput(f"{uses}: {getattr(module, '__file__', None) or module_name} has no {attribute}")
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
    except (Exception, SystemExit) as error:  # somebody else's module may raise anything
        raise BadInput(f"{where} cannot be loaded: {describe(error)}") from error
    return _class_of(found, where)


def from_a_file(scorer: Scorer) -> ModuleType | None:
    """The module of a scorer that lies in the platform's home: other machines cannot import it."""
    module = sys.modules.get(type(scorer).__module__)
    return module if module is not None and hasattr(module, _MARK) else None


#: Set on modules that were loaded from the home: the SHA-256 of their file.
_MARK = "__lance_assets_sha256__"


class _Loader(SourceFileLoader):
    """Keeps no bytecode: that counts as fresh where a file of the same size was written in the same second."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _module(name: str, folder: Path) -> ModuleType:
    file = folder.absolute().joinpath(*name.split(".")).with_suffix(".py")
    try:
        return _from_file(name, file, folder.absolute()) if file.is_file() else import_module(name)
    except (Exception, SystemExit) as error:  # somebody else's module may raise anything
        where = file if file.is_file() else f"the module {name} (no file {file.name} in {folder} either)"
        raise BadInput(f"{where} cannot be loaded: {describe(error)}") from error


def _from_file(name: str, file: Path, home: Path) -> ModuleType:
    """Loaded anew where the file changed, or where another home has a module of this name. What its decorators make is
    known by `uses` alone: names are those of this home and not of the process."""
    digest = sha256(file.read_bytes()).hexdigest()
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(file) and getattr(known, _MARK, digest) == digest:
        return known  # loaded before, or by somebody who has the home on the path
    if _installed(name, home):
        raise ImportError(f"there is an installed module {name}: give the file another name")
    spec = importlib.util.spec_from_file_location(name, file, loader=_Loader(name, str(file)))
    if spec is None or spec.loader is None:
        raise ImportError("it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        for scorer in [scorer for scorer, made in registered.items() if made.__module__ == name]:
            del registered[scorer]
    setattr(module, _MARK, digest)
    return module


def _installed(name: str, home: Path) -> bool:
    """Whether somebody else imports a module of this name, now or later, from anywhere but the home."""
    top = name.partition(".")[0]
    known = sys.modules.get(name)
    if known is not None:
        return not hasattr(known, _MARK)
    spec = None if top in sys.stdlib_module_names else PathFinder.find_spec(top)
    if spec is None or spec.origin is None:
        return top in sys.stdlib_module_names
    return not Path(spec.origin).is_relative_to(home)


def _class_of(found: object, where: str) -> type[Scorer]:
    if isclass(found) and issubclass(found, Scorer):
        return found
    if isfunction(found):
        return scorer_of(found, "1", PLAIN_FIELDS)
    raise BadInput(f"{where} is no scorer: neither a class made from Scorer nor a function of an item")
