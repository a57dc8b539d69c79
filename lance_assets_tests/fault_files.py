"""Files that a web server may send as an image: good ones, damaged ones, and traps."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from functools import cache

from PIL import Image, ImageChops


@cache
def jpeg(side: int = 96, color: int = 0) -> bytes:
    """A small JPEG; equal arguments give equal bytes."""
    stream = io.BytesIO()
    shade = ImageChops.add_modulo(Image.linear_gradient("L"), Image.new("L", (256, 256), color % 256))
    shade.resize((side, side)).convert("RGB").save(stream, "JPEG")
    return stream.getvalue()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@cache
def bomb() -> bytes:
    """A valid 1-bit PNG of 30,000 x 30,000 pixels in about 110 kB."""
    packer = zlib.compressobj()
    row = bytes(1 + 30_000 // 8)
    body = b"".join([packer.compress(row) for _ in range(30_000)] + [packer.flush()])
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, data) for name, data in parts)


@cache
def zeros_gzip() -> bytes:
    """60 MB of zeros, packed into about 60 kB."""
    return gzip.compress(bytes(60_000_000), 6)


@cache
def frames(kind: str, number: int = 50) -> bytes:
    """An animation, or a file of many pages."""
    pages = [Image.new("RGB", (96, 96), (shade, 0, 0)) for shade in range(number)]
    stream = io.BytesIO()
    pages[0].save(stream, kind, save_all=True, append_images=pages[1:])
    return stream.getvalue()


@cache
def wrong_crc() -> bytes:
    """A PNG the checksum of whose pixels is wrong; they decode all the same."""
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((96, 96)).save(stream, "PNG")
    data = bytearray(stream.getvalue())
    data[data.index(b"IEND") - 5] ^= 1  # the last byte of the chunk before, the pixels
    return bytes(data)


def with_segment(marker: int, body: bytes) -> bytes:
    """The small JPEG with one more segment in front."""
    return jpeg()[:2] + struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body + jpeg()[2:]


def huge_exif() -> bytes:
    """EXIF that declares 60,000 entries, the first of 4 GB."""
    entry = struct.pack("<HHII", 0x0112, 3, 0xFFFFFFFF, 8)
    return with_segment(0xE1, b"Exif\x00\x00II*\x00\x08\x00\x00\x00" + struct.pack("<H", 60_000) + entry * 3)


def cut_exif() -> bytes:
    """EXIF that declares more than the file holds."""
    return jpeg()[:2] + b"\xff\xe1\xff\xff" + b"Exif\x00\x00" + jpeg()[2:]


def zipped() -> bytes:
    """A JPEG with a ZIP archive behind it: programs that unpack take it for an archive."""
    stream = io.BytesIO(jpeg())
    stream.seek(0, io.SEEK_END)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("run.js", "alert(1)")
    return stream.getvalue()


def html_jpeg() -> bytes:
    """A JPEG whose comment is a page."""
    return with_segment(0xFE, b"<html><script>alert(1)</script>")


def gif_script() -> bytes:
    """A GIF that is a script as well: its width opens a comment that its end closes."""
    stream = io.BytesIO()
    Image.new("P", (0x2A2F, 20)).save(stream, "GIF")
    return stream.getvalue() + b"*/=1;alert(1)"


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
