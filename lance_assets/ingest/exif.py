"""EXIF: the orientation that it records, and the location that it may give away.

EXIF is a TIFF file of tags (TIFF 6.0; Exif 2.32, section 4.6): directories of tagged values, linked by offsets.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

ORIENTATION, XMP, SUB_IFDS, EXIF_IFD, GPS_IFD, MAKER_NOTE = 0x0112, 0x02BC, 0x014A, 0x8769, 0x8825, 0x927C
#: Bytes of one value, by type; unknown types count as one.
WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
#: No honest file has more directories; a hostile one links them in circles.
MOST_DIRECTORIES, MOST_ENTRIES = 256, 4096

#: Where Pillow puts what getexif() reads.
_KEYS = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")


def orientation(image: Image.Image) -> int | None:
    """1 to 8 as the file records it; None = it records none, or nonsense."""
    if image.format != "TIFF" and not any(key in image.info for key in _KEYS):
        return None
    try:
        found = image.getexif().get(ORIENTATION)
    except Exception:  # hostile bytes make the parser raise anything; without orientation the image is still good
        return None
    return found if isinstance(found, int) and 1 <= found <= 8 else None


def has_location(image: Image.Image) -> bool:
    """Whether Pillow finds GPS tags."""
    try:
        return bool(image.getexif().get_ifd(GPS_IFD))
    except Exception:  # what Pillow cannot read it cannot find
        return False


class NotUnderstood(ValueError):
    """These bytes are not EXIF, or damaged."""


class _Entry(NamedTuple):
    at: int
    tag: int
    value_at: int
    """Where the values lie: in the entry itself when they fit."""
    size: int
    width: int


def without_location(exif: bytes) -> bytes:
    """The same TIFF structure, of the same length, its GPS directories unlinked and their values overwritten by zeros.
    So is an XMP packet or a maker's note that mentions GPS. Everything else stays. Raises NotUnderstood."""
    return _Tiff(exif).cleaned()


class _Tiff:
    """Classic TIFF and BigTIFF, of both byte orders."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        if data[:2] not in (b"II", b"MM"):
            raise NotUnderstood("no byte order")
        self.order = "<" if data[:2] == b"II" else ">"
        version = self._number(2, "H")
        if version not in (42, 43):
            raise NotUnderstood("no TIFF")
        big = version == 43
        self.count, self.offset = ("Q", "Q") if big else ("H", "I")
        self.count_size, self.offset_size, self.entry_size = (8, 8, 20) if big else (2, 4, 12)
        self.first = self._number(8 if big else 4, self.offset)
        self.seen: set[int] = set()

    def cleaned(self) -> bytes:
        self._walk(self.first)
        return bytes(self.data)

    def _walk(self, at: int) -> None:
        """Cleans the directory here, those it links to, and those that follow it."""
        waiting = [at]
        while waiting:
            at = waiting.pop()
            if not at or at in self.seen:
                continue
            self.seen.add(at)
            if len(self.seen) > MOST_DIRECTORIES:
                raise NotUnderstood("too many directories")
            for entry in reversed(list(self._entries(at))):
                if entry.tag == GPS_IFD:
                    for target in self._targets(entry):
                        self._blank(target)
                    self._unlink(at, entry)
                elif entry.tag in (SUB_IFDS, EXIF_IFD):
                    waiting += self._targets(entry)
                elif entry.tag in (XMP, MAKER_NOTE) and mentions_gps(self._bytes(entry)):
                    self._zero(entry.value_at, entry.size)
            waiting.append(self._number(self._end(at), self.offset, missing=0))

    def _blank(self, at: int) -> None:
        """Zeros over a whole GPS directory and its values."""
        end = self._end(at)
        for entry in self._entries(at):
            self._zero(entry.value_at, entry.size)
        self._zero(at, end - at)

    def _unlink(self, at: int, entry: _Entry) -> None:
        """Takes an entry out of its directory; the rest moves up."""
        end = min(self._end(at) + self.offset_size, len(self.data))
        number = self._number(at, self.count)
        self.data[entry.at : end] = self.data[entry.at + self.entry_size : end] + bytes(self.entry_size)
        struct.pack_into(self.order + self.count, self.data, at, number - 1)

    def _entries(self, at: int) -> Iterator[_Entry]:
        head = self.entry_size - self.offset_size
        for number in range(self._length(at)):
            place = at + self.count_size + number * self.entry_size
            tag, kind = self._number(place, "H"), self._number(place + 2, "H")
            width = WIDTHS.get(kind, 1)
            size = width * self._number(place + 4, "Q" if self.offset_size == 8 else "I")
            inside = size <= self.offset_size
            yield _Entry(place, tag, place + head if inside else self._number(place + head, self.offset), size, width)

    def _targets(self, entry: _Entry) -> list[int]:
        letter = {2: "H", 4: "I", 8: "Q"}.get(entry.width)
        if letter is None:
            raise NotUnderstood("a link of a strange type")
        number = min(entry.size // entry.width, MOST_DIRECTORIES)
        return [self._number(entry.value_at + index * entry.width, letter) for index in range(number)]

    def _length(self, at: int) -> int:
        number = self._number(at, self.count)
        if number > MOST_ENTRIES:
            raise NotUnderstood("a directory with too many entries")
        return number

    def _end(self, at: int) -> int:
        """Where the entries end and the offset of the next directory lies."""
        return at + self.count_size + self._length(at) * self.entry_size

    def _bytes(self, entry: _Entry) -> bytes:
        return bytes(self.data[entry.value_at : entry.value_at + entry.size])

    def _zero(self, at: int, size: int) -> None:
        end = min(at + size, len(self.data))
        if at < end:
            self.data[at:end] = bytes(end - at)

    def _number(self, at: int, letter: str, missing: int | None = None) -> int:
        try:
            return struct.unpack_from(self.order + letter, self.data, at)[0]
        except struct.error as error:
            if missing is not None:
                return missing
            raise NotUnderstood("an offset leads out of the data") from error


def mentions_gps(data: bytes) -> bool:
    """Whether metadata that we do not parse may say where a picture was taken; UTF-16 packets count, too."""
    lowered = data.lower()
    return b"gps" in lowered or b"g\x00p\x00s" in lowered or b"geotag" in lowered or b"location" in lowered
