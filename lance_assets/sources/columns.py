"""Which columns of a source row are the image, the words and the licence."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lance_assets.errors import BadInput
from lance_assets.sources.base import Columns, RawRow

#: `file_name` is what metadata.jsonl of Hugging Face's imagefolder calls it: a path beside that very file.
FILE_NAME = "file_name"
URL_NAMES = ("opensource_url", "image_url", "url", "image", "images", FILE_NAME)
CAPTION_NAMES = ("global_caption", "cap_seg", "caption", "text")
#: A row that has one of these is a conversation, whatever else it holds.
CONVERSATION_NAMES = ("messages", "conversations")
LICENCE_NAMES = ("license", "licence")


class Embedded:
    """Stands where a file holds a picture's bytes, which need not be read to know the row. No text can make one."""


EMBEDDED = Embedded()


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


def image_names(columns: Columns) -> tuple[str, ...]:
    """The columns that may hold the image, first choice first."""
    return (columns.url,) if columns.url is not None else URL_NAMES


def wanted_names(columns: Columns) -> frozenset[str]:
    """The columns that say anything; no other need be read."""
    words = (columns.caption,) if columns.caption is not None else (*CAPTION_NAMES, *CONVERSATION_NAMES)
    return frozenset((*image_names(columns), *words, *LICENCE_NAMES))


def raw_row(number: int, cells: Mapping[str, Any], columns: Columns, folder: str = "") -> RawRow:
    """What the cells of one row say. `folder` is the one of their file, relative to the source: paths in the column
    file_name start there."""
    name, image = _first(cells, URL_NAMES if columns.url is None else (columns.url,))
    embedded = False
    if not isinstance(image, str):
        image, embedded = _image(image)
    elif name == FILE_NAME and folder and not image.startswith("/") and "://" not in image:
        image = f"{folder}/{image}"
    if columns.caption is None:
        caption, messages = _first(cells, CAPTION_NAMES)[1], _first(cells, CONVERSATION_NAMES)[1]
    else:
        caption, messages = _named(cells.get(columns.caption), columns.caption)
    _, licence = _first(cells, LICENCE_NAMES)
    if licence is not None and not isinstance(licence, str):
        licence = json.dumps(licence, ensure_ascii=False, default=str)
    return RawRow(number, image, caption, None, messages, licence, embedded)


def picture(row: Mapping[str, Any], columns: Columns) -> bytes | None:
    """The bytes of the picture in a row that was read with them; None where the row has none, or several."""
    _, cell = _first(row, image_names(columns))
    found = [_bytes(one) for one in (cell if isinstance(cell, list) else [cell]) if one is not None]
    return found[0] if len(found) == 1 and isinstance(found[0], bytes) else None


def _first(row: Mapping[str, Any], names: Sequence[str]) -> tuple[str, Any]:
    """The first of the columns that holds a value, and the value; ("", None) for none."""
    for name in names:
        if (value := row.get(name)) is not None:
            return name, value
    return "", None


def _image(cell: Any) -> tuple[Any, bool]:
    """(what the cell says without bytes, whether it holds the bytes); a list with one image is that image."""
    if isinstance(cell, list):
        cells = [one for one in cell if one is not None]
        if len(cells) > 1:
            return [_image(one)[0] for one in cells], False
        cell = cells[0] if cells else None
    if isinstance(_bytes(cell), bytes | Embedded):
        return None, True
    return ({name: cell[name] for name in cell if name != "bytes"} if isinstance(cell, Mapping) else cell), False


def _bytes(cell: Any) -> Any:
    return cell.get("bytes") if isinstance(cell, Mapping) else cell


def _named(cell: Any, name: str) -> tuple[Any, Any]:
    """(caption, conversation): a column that was named for the caption may also hold conversations."""
    turns = isinstance(cell, list) and cell and isinstance(cell[0], Mapping)
    return (None, cell) if turns or name in CONVERSATION_NAMES else (cell, None)
