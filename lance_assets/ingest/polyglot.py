"""Files that are an image and something else as well."""

from __future__ import annotations

import re
import zipfile
from io import BytesIO

#: Browsers and PDF readers look for a file type in the first 1,445 and 1,024 bytes; archives are found from the end.
NEAR, ARCHIVE_END = 2_048, 65_557

_COMMENTS = (b"/*", b"//")
#: Each is a fixed first byte, for which `re` searches with memchr, and what `re` does not see as fixed, too: that takes
#: half of the time of bytes.find.
_PAGE, _PDF = re.compile(rb"<(?:script|html|!doctype html|\?php)"), re.compile(rb"%(?:pdf-)")
_ARCHIVE = re.compile(rb"P[K]\x05\x06")


def foreign_content(data: bytes) -> str | None:
    """What else an image file is: an archive behind its end, a page or a program for those who take it for one; None
    for an image alone. Other bytes behind the end of an image are harmless: telephones put films there.

    An image is stored as it came and may be served one day: what passes here as a picture would then be run as a
    script, or opened as an archive.
    """
    if _ARCHIVE.search(data, max(0, len(data) - ARCHIVE_END)) and zipfile.is_zipfile(BytesIO(data)):
        return "a ZIP archive"
    # The width of a GIF, or the length of a JPEG's first segment, that opens a comment of a script.
    if data[6:8] in _COMMENTS if data[:4] == b"GIF8" else data[:2] == b"\xff\xd8" and data[4:6] in _COMMENTS:
        return "a script"
    ends = (data if len(data) <= 2 * NEAR else data[:NEAR] + b"\n" + data[-NEAR:]).lower()
    if mark := _PAGE.search(ends) or _PDF.search(ends):
        return f"something that holds {mark[0].decode()!r}"
    return None
