"""Files that are an image and something else as well."""

from __future__ import annotations

import zipfile
from io import BytesIO

#: Browsers and PDF readers look for a file type in the first 1,445 and 1,024 bytes; archives are found from the end.
NEAR, ARCHIVE_END = 2_048, 65_557

_COMMENTS = (b"/*", b"//")
_MARKS = (b"<script", b"<html", b"<!doctype html", b"<?php", b"%pdf-")


def foreign_content(data: bytes) -> str | None:
    """What else an image file is: an archive behind its end, a page or a program for those who take it for one; None
    for an image alone. Other bytes behind the end of an image are harmless: telephones put films there.

    An image is stored as it came and may be served one day: what passes here as a picture would then be run as a
    script, or opened as an archive.
    """
    if data.find(b"PK\x05\x06", max(0, len(data) - ARCHIVE_END)) >= 0 and zipfile.is_zipfile(BytesIO(data)):
        return "a ZIP archive"
    # The width of a GIF, or the length of a JPEG's first segment, that opens a comment of a script.
    if data[6:8] in _COMMENTS if data[:4] == b"GIF8" else data[:2] == b"\xff\xd8" and data[4:6] in _COMMENTS:
        return "a script"
    ends = (data if len(data) <= 2 * NEAR else data[:NEAR] + b"\n" + data[-NEAR:]).lower()
    for mark in _MARKS:
        if mark in ends:
            return f"something that holds {mark.decode()!r}"
    return None
