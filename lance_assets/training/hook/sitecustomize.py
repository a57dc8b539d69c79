"""Python runs this file at start when its folder is on PYTHONPATH: LLaMA-Factory then reads Lance in every child too.

It costs any other process one finder that knows four module names, and gives way to a sitecustomize further back on
the path. An interpreter in which lance_assets is not installed is left as it is.
"""

import importlib.machinery
import importlib.util
import sys
from pathlib import Path

here = Path(__file__).resolve().parent
others = [entry for entry in sys.path if entry and Path(entry).resolve() != here]
shadowed = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
if shadowed is not None and shadowed.loader is not None:
    shadowed.loader.exec_module(importlib.util.module_from_spec(shadowed))

if importlib.util.find_spec("lance_assets") is not None:
    from lance_assets.training import finder

    finder.install()
