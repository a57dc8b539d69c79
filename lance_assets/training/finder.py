"""Finds the moment at which a LLaMA-Factory module is imported, and wraps it then. Imports nothing heavy by itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

WRAPPED = (
    "llamafactory.data.loader",
    "llamafactory.data.mm_plugin",
    "llamafactory.data.collator",
    "llamafactory.webui.components.data",
)


class _WrappingLoader(Loader):
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.inner.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.inner.exec_module(module)
        wrap(module)

    def __getattr__(self, name: str) -> Any:
        # inspect, linecache and pickle ask a loader for its source, path and so on
        return getattr(self.inner, name)


class LlamaFactoryFinder(MetaPathFinder):
    """Delegates to the finders behind it and changes only the loader of the wrapped modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in WRAPPED:
            return None
        for finder in sys.meta_path:
            if isinstance(finder, LlamaFactoryFinder):
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                spec.loader = _WrappingLoader(spec.loader)
                return spec
        return None


def install() -> None:
    """Makes LLaMA-Factory read Lance in this process; a second call does nothing."""
    if any(isinstance(finder, LlamaFactoryFinder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, LlamaFactoryFinder())
    for name in WRAPPED:
        if name in sys.modules:
            wrap(sys.modules[name])


def wrap(module: ModuleType) -> None:
    from lance_assets.training import wraps

    wraps.apply(module)
