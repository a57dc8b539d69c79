"""The contact sheet: what rows look like, as Markdown that the Dagster UI renders."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SIDE = 96
QUALITIES = (60, 40, 20)
LARGEST = 3300
"""Bytes of a thumbnail; a busy picture is shown more coarsely. Twelve of them fit into an event of the UI."""
CAPTION = 120
BACKGROUND = (245, 246, 248)
MAX_PIXELS = 50_000_000

BREAK = "\u200b"
"""A space of no width: the UI makes links of addresses even where an entity stands for their colon."""

_ESCAPES = {ord(sign): f"&#{ord(sign)};" for sign in "|<>`[]*_\\!~#"}
_ESCAPES[ord("&")] = "&amp;"


def contact_sheet(rows: Sequence[Mapping[str, Any]], columns: int = 4) -> str:
    """A Markdown table of thumbnails, `columns` to a line, each over its caption and note.

    A row is {"image": encoded bytes, "caption": str, "note": str or None}. Captions are untrusted text: Markdown and
    HTML in them are shown, not obeyed; cut at 120 characters. A picture that cannot be decoded says so. Eight rows take
    less than 40 kB.
    """
    if not rows:
        return "*no rows*"
    columns = max(1, min(columns, len(rows)))
    lines = []
    for start in range(0, len(rows), columns):
        line = rows[start : start + columns]
        gap = [""] * (columns - len(line))
        pictures = [_picture(row.get("image")) for row in line] + gap
        texts = [_text(row) for row in line] + gap
        if not lines:
            lines += [_line(pictures), _line([":--"] * columns)]
        else:
            lines.append(_line(pictures))
        lines.append(_line(texts))
    return "\n".join(lines) + "\n"


def escaped(text: str, longest: int = CAPTION) -> str:
    """One line of plain text that Markdown and HTML leave alone, cut with an ellipsis at `longest` characters."""
    plain = "".join(c if c.isprintable() else " " for c in text[: 4 * longest])
    plain = " ".join(plain.split())
    if len(plain) > longest:
        plain = plain[: longest - 1].rstrip() + "…"
    return plain.translate(_ESCAPES).replace("://", f":{BREAK}//").replace("www.", f"www{BREAK}.")


def thumbnail(data: bytes) -> bytes:
    """A JPEG of SIDE x SIDE pixels with the whole picture centred on a light ground. Raises OSError, ValueError."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError("the picture is too large for a preview")
        image.draft("RGB", (SIDE, SIDE))
        small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    ground = Image.new("RGB", (SIDE, SIDE), BACKGROUND)
    ground.paste(small, ((SIDE - small.width) // 2, (SIDE - small.height) // 2))
    sizes = (_encoded(ground, quality) for quality in QUALITIES)
    return next((data for data in sizes if len(data) <= LARGEST), _encoded(ground, QUALITIES[-1]))


def _encoded(image: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()


def data_uri(data: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def _picture(data: bytes | None) -> str:
    try:
        return f"![]({data_uri(thumbnail(data or b''), 'image/jpeg')})"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return "*not readable*"


def _text(row: Mapping[str, Any]) -> str:
    caption = escaped(str(row.get("caption") or "")) or "*no caption*"
    note = row.get("note")
    return f"{caption} **{escaped(str(note))}**" if note else caption


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
