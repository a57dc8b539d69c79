"""Which column of a source row is the image and which the caption."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from lance_assets.errors import BadInput
from lance_assets.sources.base import Columns

URL_NAMES = ("opensource_url", "image_url", "url", "image")
CAPTION_NAMES = ("global_caption", "cap_seg", "caption", "text")


def check_columns(names: Collection[str], columns: Columns, where: str) -> None:
    """Raises BadInput when a named column, or every default name of the image column, is absent from a file."""
    found = ", ".join(sorted(names)) or "none"
    for wanted in (columns.url, columns.caption):
        if wanted is not None and wanted not in names:
            raise BadInput(f"{where} has no column {wanted!r}; its columns are: {found}")
    if columns.url is None and not any(name in names for name in URL_NAMES):
        raise BadInput(
            f"{where} has no image column: looked for {', '.join(URL_NAMES)}, its columns are: {found}; "
            "name it with --url-column"
        )


def pick(row: Mapping[str, Any], columns: Columns) -> tuple[Any, Any]:
    """(image, caption) of one row: the named column, else the first default name that holds a value, else None."""
    return _first(row, columns.url, URL_NAMES), _first(row, columns.caption, CAPTION_NAMES)


def _first(row: Mapping[str, Any], named: str | None, defaults: tuple[str, ...]) -> Any:
    if named is not None:
        return row.get(named)
    return next((row[name] for name in defaults if row.get(name) is not None), None)
