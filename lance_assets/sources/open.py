"""From a spec string to a source."""

from __future__ import annotations

import re
from pathlib import Path

from lance_assets.errors import BadInput
from lance_assets.sources.base import Columns, Source
from lance_assets.sources.files import FilesSource

MODELSCOPE = re.compile(r"^modelscope:(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?$")


def open_source(
    id: str,
    spec: str,
    url_column: str | None,
    caption_column: str | None,
    rows: int | None,
    seed: int,
    demo_dir: Path,
    cache_dir: Path,
) -> Source:
    """Raises BadInput when the spec names nothing known. Opens nothing yet: no network, no folder is read."""
    columns = Columns(url_column, caption_column)
    if spec == "demo":
        from lance_assets.sources.demo.source import DemoSource

        return DemoSource(id, demo_dir, rows or 600, seed, cache_dir, columns)
    if spec.startswith("files:"):
        return FilesSource(id, spec.removeprefix("files:"), columns, cache_dir)
    if match := MODELSCOPE.match(spec):
        from lance_assets.sources.modelscope import ModelScopeSource

        return ModelScopeSource(id, match["repo"], match["revision"], cache_dir, columns)
    raise BadInput(
        f"source {spec!r}: expected demo, modelscope:<owner/name>[@revision] or files:<file, folder, glob or s3://...>"
    )
