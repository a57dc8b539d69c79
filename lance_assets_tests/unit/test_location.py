"""The location leaves the file, its pixels and its orientation stay."""

from __future__ import annotations

import io
import random
import struct
import warnings

import pytest
from PIL import Image, PngImagePlugin

from lance_assets.ingest.exif import GPS_IFD, ORIENTATION, NotUnderstood, without_location
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.location import strip_location
from lance_assets.ingest.outcome import FetchError
from lance_assets.ingest.picture import check_picture
from lance_assets_tests.fault_files import jpeg, png_chunk, with_segment

STRIPPING = Limits(strip_location=True)
DATUM = "WGS-84 SECRET PLACE"
LATITUDE = (51.0, 28.0, 40.125)
#: The three rationals as they lie in a file, in both byte orders.
VALUES = [struct.pack(order + "II", 321, 8) for order in "<>"]
PACKET = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf exif:GPSLatitude="51,28.6N"/></x:xmpmeta>'
EXTENSIONS = ("JPEG", "PNG", "WEBP", "TIFF")


def picture(side: int = 40) -> Image.Image:
    return Image.linear_gradient("L").resize((side, side)).convert("RGB")


def tagged(order: str = "<") -> Image.Exif:
    exif = Image.Exif()
    exif.endian = order
    exif[ORIENTATION] = 6
    exif[0x010F] = "A camera maker"
    exif[0x8769] = {0x9286: "a comment", 0x829A: 0.01}
    exif[GPS_IFD] = {1: "N", 2: LATITUDE, 3: "W", 4: (0.0, 5.0, 0.0), 18: DATUM}
    return exif


def encoded(kind: str, exif: Image.Exif | None = None, **options: object) -> bytes:
    stream = io.BytesIO()
    exif = tagged() if exif is None else exif
    # Of a made-up Exif the TIFF writer takes only its bytes.
    picture().save(stream, kind, exif=exif.tobytes() if kind == "TIFF" else exif, **options)
    return stream.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=(*EXTENSIONS, "MPO"))
    image.load()
    return image


def assert_without_location(before: bytes, after: bytes) -> None:
    image = opened(after)
    assert image.tobytes() == opened(before).tobytes()
    assert not image.getexif().get_ifd(GPS_IFD) and GPS_IFD not in image.getexif()
    assert DATUM.encode() not in after
    assert not any(value in after for value in VALUES)
    assert b"GPS" not in after


@pytest.mark.parametrize("kind", EXTENSIONS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_location_goes_and_pixels_and_orientation_stay(kind: str, order: str) -> None:
    data = encoded(kind, tagged(order))
    assert opened(data).getexif().get_ifd(GPS_IFD), "the test's own file has no location"
    assert DATUM.encode() in data
    found = check_picture(data, STRIPPING)
    assert_without_location(data, found.data)
    assert (found.format, found.width, found.height, found.orientation) == (kind, 40, 40, 6)
    exif = opened(found.data).getexif()
    assert exif[0x010F] == "A camera maker"
    assert len(found.data) == len(data)


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_without_the_wish_the_file_stays_and_its_orientation_is_read(kind: str) -> None:
    data = encoded(kind)
    found = check_picture(data, Limits())
    assert found.data is data and found.orientation == 6


@pytest.mark.parametrize("kind", [*EXTENSIONS, "GIF", "BMP"])
def test_a_file_without_location_is_the_same_object_afterwards(kind: str) -> None:
    stream = io.BytesIO()
    picture().save(stream, kind)
    data = stream.getvalue()
    assert check_picture(data, STRIPPING).data is data


@pytest.mark.parametrize("value", [0, 9])
def test_a_nonsense_orientation_is_none(value: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    assert check_picture(encoded("JPEG", exif), Limits()).orientation is None


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF"])
def test_an_xmp_packet_with_a_location_goes(kind: str) -> None:
    packet = PACKET.encode()
    data = encoded(kind, tiffinfo={0x02BC: packet}) if kind == "TIFF" else encoded(kind, xmp=packet)
    assert packet in data
    assert_without_location(data, check_picture(data, STRIPPING).data)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_an_xmp_packet_without_a_location_stays(kind: str) -> None:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf dc:title="A dog"/></x:xmpmeta>'
    data = encoded(kind, xmp=packet)
    assert packet in check_picture(data, STRIPPING).data


@pytest.mark.parametrize("packed", [False, True])
def test_png_texts_with_a_location_go_and_others_stay(packed: bool) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", PACKET, zip=packed)
    texts.add_text("Raw profile type exif", DATUM)
    texts.add_text("Title", "A dog")
    stream = io.BytesIO()
    picture().save(stream, "PNG", pnginfo=texts, exif=tagged())
    found = check_picture(stream.getvalue(), STRIPPING)
    assert_without_location(stream.getvalue(), found.data)
    assert b"XML:com.adobe.xmp" not in found.data and b"A dog" in found.data
    assert found.orientation == 6


def test_what_follows_the_image_goes_with_its_own_exif() -> None:
    stream = io.BytesIO()
    second = picture(20)
    picture().save(stream, "MPO", save_all=True, append_images=[second], exif=tagged())
    data = stream.getvalue() + encoded("JPEG") + b"ftypmp42" + DATUM.encode()
    found = check_picture(data, STRIPPING)
    assert_without_location(data, found.data)
    assert (found.format, found.orientation) == ("JPEG", 6) and found.data.endswith(b"\xff\xd9")


def test_a_telephones_jpeg_with_a_second_image_is_a_jpeg() -> None:
    stream = io.BytesIO()
    picture().save(stream, "MPO", save_all=True, append_images=[picture(20)])
    assert check_picture(stream.getvalue(), Limits())[1:4] == ("JPEG", 40, 40)


@pytest.mark.parametrize(
    ("marker", "body"),
    [
        (0xE1, b"Exif\x00\x00II*\x00\xff\xff\xff\x7f GPS " + DATUM.encode()),
        (0xE1, b"Exif\x00\x00not a TIFF at all, yet GPS " + DATUM.encode()),
        (0xE1, b"http://ns.adobe.com/xmp/extension/\x00" + bytes(40) + b"exif:GPSLatitude " + DATUM.encode()),
        (0xED, b"Photoshop 3.0\x008BIM\x04\x22\x00\x00\x00\x00\x00\x20" + DATUM.encode()),
    ],
)
def test_metadata_that_nobody_understands_goes_whole(marker: int, body: bytes) -> None:
    data = with_segment(marker, body)
    assert strip_location(data, "JPEG") == jpeg()


def test_a_makers_note_that_mentions_gps_is_blanked() -> None:
    exif = tagged()
    exif[0x8769] = {0x927C: b"Maker GPS 51.478 SECRET" + bytes(20)}
    data = encoded("JPEG", exif)
    assert b"SECRET" in data
    assert b"SECRET" not in strip_location(data, "JPEG")


def test_directories_in_a_circle_end() -> None:
    head = b"II*\x00\x08\x00\x00\x00"
    circle = head + struct.pack("<H", 1) + struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<I", 8)
    assert without_location(circle) == circle
    chain = b"".join(struct.pack("<HI", 0, 8 + 6 * (number + 1)) for number in range(1000))
    with pytest.raises(NotUnderstood, match="too many"):
        without_location(head + chain)


def test_big_tiff_is_understood() -> None:
    data = encoded("TIFF", big_tiff=True)
    assert data[2:3] == b"+" and DATUM.encode() in data
    assert_without_location(data, check_picture(data, STRIPPING).data)


def test_a_broken_chunk_list_is_a_corrupt_image() -> None:
    stream = io.BytesIO()
    picture().save(stream, "PNG", exif=tagged())
    data = stream.getvalue()
    broken = data[:33] + png_chunk(b"teXt", b"")[:6]
    with pytest.raises(FetchError):
        check_picture(broken, STRIPPING)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_lose_their_location_or_are_refused() -> None:
    dice = random.Random(3)
    kept = 0
    for kind in EXTENSIONS:
        good = encoded(kind, xmp=PACKET.encode()) if kind != "PNG" else encoded(kind)
        for _ in range(150):
            data = bytearray(good)
            for _ in range(dice.randrange(1, 6)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            try:
                found = check_picture(bytes(data), STRIPPING)
            except FetchError:
                continue
            kept += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert not opened(found.data).getexif().get_ifd(GPS_IFD)
    assert kept > 50
