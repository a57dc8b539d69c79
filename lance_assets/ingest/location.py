"""Takes the location out of an image file without touching its pixels.

Container layouts: JPEG (ITU-T T.81 annex B, segments), PNG (W3C PNG, chunks), WebP (RFC 9649, RIFF chunks). GIF and BMP
carry no EXIF.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

from lance_assets.ingest.exif import NotUnderstood, mentions_gps, without_location

EXIF = b"Exif\x00\x00"
XMP = (b"http://ns.adobe.com/xap/1.0/\x00", b"http://ns.adobe.com/xmp/extension/\x00")
#: Photoshop's own EXIF copy.
PHOTOSHOP_EXIF = b"8BIM\x04\x22"
APP1, APP2, APP13, SOS, EOI = 0xE1, 0xE2, 0xED, 0xDA, 0xD9
#: A marker within coded data: not a stuffed zero, a restart or a fill byte.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
#: PNG text chunks in which other tools keep EXIF or XMP.
_PROFILE = re.compile(rb"(XML:com\.adobe\.xmp|Raw profile type (exif|APP1|app1|xmp|iptc))\x00")
#: VP8X flags of the EXIF and XMP chunks.
_FLAGS = {b"EXIF": 0x08, b"XMP ": 0x04}


def strip_location(data: bytes, kind: str) -> bytes:
    """The file without GPS data: the same object when it had none. EXIF loses its GPS directory in place; EXIF that
    cannot be understood, XMP that mentions a location, and what follows the end of the image (second images and films
    of telephones, which have EXIF of their own) are dropped. `kind` is Pillow's name of the format.

    Raises NotUnderstood for a file whose structure is broken.
    """
    try:
        if kind in ("JPEG", "MPO"):
            found = b"".join(_jpeg(data))
        elif kind == "PNG":
            found = b"".join(_png(data))
        elif kind == "WEBP":
            found = _webp(data)
        elif kind == "TIFF":
            found = without_location(data)
        else:
            return data
    except (struct.error, IndexError) as error:
        raise NotUnderstood(f"a broken {kind} structure: {error}") from error
    return data if found == data else found


def _jpeg(data: bytes) -> Iterator[bytes]:
    segments = list(_jpeg_segments(data))
    revealing = mentions_gps(b"".join(body for marker, body in segments if marker == APP1 and body.startswith(XMP)))
    yield data[:2]
    for marker, body in segments:
        if marker in (SOS, EOI):
            yield body
            continue
        kept: bytes | None = body
        if marker == APP1 and body.startswith(EXIF):
            cleaned = _clean(body[len(EXIF) :])
            kept = None if cleaned is None else EXIF + cleaned
        elif marker == APP1 and body.startswith(XMP):
            kept = None if revealing else body
        elif marker == APP2 and body.startswith(b"MPF\x00"):
            kept = None  # it points at images behind the end, which go
        elif marker == APP13 and (PHOTOSHOP_EXIF in body or mentions_gps(body)):
            kept = None
        if kept is not None:
            yield struct.pack(">BBH", 0xFF, marker, len(kept) + 2) + kept


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, content) of the segments up to the end of the image; of a scan, the whole of header and coded data."""
    if data[:2] != b"\xff\xd8":
        raise NotUnderstood("no start of image")
    at = 2
    while at < len(data):
        found = _MARKER.search(data, at)
        if found is None:
            raise NotUnderstood("no end of image")
        marker, at = found[1][0], found.start()
        if marker == EOI:
            yield EOI, data[at : at + 2]
            return
        length = struct.unpack_from(">H", data, at + 2)[0]
        if marker == SOS:
            following = _MARKER.search(data, at + 2 + length)
            end = following.start() if following else len(data)
            yield SOS, data[at:end]
        else:
            end = at + 2 + length
            if length < 2 or end > len(data):
                raise NotUnderstood("a segment leads out of the file")
            yield marker, data[at + 4 : end]
        at = end


def _png(data: bytes) -> Iterator[bytes]:
    yield data[:8]
    at = 8
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        body, chunk = data[at + 8 : end - 4], data[at:end]
        if name == b"eXIf":
            if (cleaned := _clean(body)) is not None:
                if cleaned != body:
                    chunk = chunk[:8] + cleaned + struct.pack(">I", zlib.crc32(name + cleaned))
                yield chunk
        elif not (name in (b"tEXt", b"zTXt", b"iTXt") and _reveals(name, body)):
            yield chunk
        at = end
        if name == b"IEND":
            return


def _reveals(name: bytes, body: bytes) -> bool:
    """Whether a text chunk may hold a location. What is packed is taken for one: unpacking it is not worth the risk."""
    if not _PROFILE.match(body):
        return mentions_gps(body[:80])
    packed = name == b"zTXt" or (name == b"iTXt" and body[body.index(b"\x00") + 1 :][:1] == b"\x01")
    return packed or body.startswith(b"Raw") or mentions_gps(body)


def _webp(data: bytes) -> bytes:
    size = struct.unpack_from("<I", data, 4)[0]
    end = min(len(data), 8 + size)
    parts: list[bytes] = []
    dropped = 0
    at = 12
    while at + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + length]
        chunk = data[at : at + 8 + length + length % 2]
        if name == b"EXIF":
            prefix = EXIF if body.startswith(EXIF) else b""
            cleaned = _clean(body[len(prefix) :])
            if cleaned is None:
                dropped |= _FLAGS[name]
                chunk = b""
            else:
                chunk = chunk[:8] + prefix + cleaned + chunk[8 + len(body) :]
        elif name == b"XMP " and mentions_gps(body):
            dropped |= _FLAGS[name]
            chunk = b""
        parts.append(chunk)
        at += 8 + length + length % 2
    if dropped and parts[0][:4] == b"VP8X":
        parts[0] = parts[0][:8] + bytes([parts[0][8] & ~dropped]) + parts[0][9:]
    body = b"".join(parts)
    if len(body) == end - 12:
        return data[:12] + body
    return b"RIFF" + struct.pack("<I", len(body) + 4) + data[8:12] + body


def _clean(exif: bytes) -> bytes | None:
    """None for EXIF that cannot be understood: it goes, whatever it says."""
    try:
        return without_location(exif)
    except NotUnderstood:
        return None
