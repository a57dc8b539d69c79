"""Bytes are an image within the limits, or there is a reason why not."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import pytest
from PIL import Image

from lance_assets.ingest.limits import FORMATS, Limits
from lance_assets.ingest.outcome import FetchError
from lance_assets.ingest.picture import check_picture, inspect_image
from lance_assets_tests.fault_files import gif_script, html_jpeg, jpeg, with_segment, zipped


def encoded(kind: str, size: tuple[int, int] = (40, 30), **options: object) -> bytes:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(stream, kind, **options)
    return stream.getvalue()


def reason_of(data: bytes, limits: Limits | None = None) -> str:
    with pytest.raises(FetchError) as caught:
        inspect_image(data, limits or Limits())
    return caught.value.reason


@pytest.mark.parametrize("kind", FORMATS)
def test_every_allowed_format_is_measured(kind: str) -> None:
    assert inspect_image(encoded(kind), Limits()) == (kind, 40, 30)


def test_an_animation_is_kept_and_judged_by_its_first_frame() -> None:
    frame = Image.new("RGB", (20, 20), "red")
    data = encoded("GIF", (20, 20), save_all=True, append_images=[frame])
    assert inspect_image(data, Limits()) == ("GIF", 20, 20)


@pytest.mark.parametrize("data", [b"", b"GIF", b"<html></html>", b"%PDF-1.4", b"SIMPLE  =                    T"])
def test_other_bytes_are_not_an_image(data: bytes) -> None:
    assert reason_of(data) == "not_an_image"


def test_a_format_that_the_limits_leave_out_is_bad_format() -> None:
    assert reason_of(encoded("BMP"), Limits(formats=("JPEG", "PNG"))) == "bad_format"


def test_a_jpeg_2000_never_reaches_its_decoder() -> None:
    assert reason_of(encoded("JPEG2000")) == "not_an_image"


def test_pixel_and_side_limits_count() -> None:
    assert reason_of(encoded("PNG"), Limits(max_pixels=1199)) == "too_many_pixels"
    assert inspect_image(encoded("PNG"), Limits(max_pixels=1200)) == ("PNG", 40, 30)
    assert reason_of(encoded("PNG"), Limits(min_side=31)) == "too_small"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_truncated_file_is_corrupt(kind: str) -> None:
    data = encoded(kind, (200, 200))
    assert reason_of(data[: len(data) // 2]) in ("corrupt_image", "not_an_image")


@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_damaged_files_give_an_answer_or_a_typed_error() -> None:
    dice = random.Random(7)
    seen = set()
    for kind in FORMATS:
        good = encoded(kind, (64, 64))
        for _ in range(40):
            data = bytearray(good)
            for _ in range(8):
                data[dice.randrange(len(data))] = dice.randrange(256)
            try:
                inspect_image(bytes(data), Limits())
            except FetchError as error:
                seen.add(error.reason)
    assert "corrupt_image" in seen


def damaged(data: bytes, dice: random.Random) -> bytes:
    """Cut off, a piece missing, or bytes changed."""
    at, size = dice.randrange(20, len(data)), dice.randrange(1, 300)
    changed = bytes(dice.randrange(256) for _ in range(min(size, len(data) - at)))
    return dice.choice([data[:at], data[:at] + data[at + size :], data[:at] + changed + data[at + len(changed) :]])


def decodes(data: bytes) -> bool:
    """By a full decode, as the files were checked first."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.load()
    except Exception:
        return False
    return True


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_decoded_small_fails_exactly_where_a_full_decode_does(mode: str, options: dict[str, object]) -> None:
    dice = random.Random(11)
    stream = io.BytesIO()
    noise = Image.effect_noise((200, 130), 60)
    Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)]).convert(mode).save(stream, "JPEG", **options)
    limits = Limits(min_side=1)
    verdicts = set()
    for _ in range(100):
        data = damaged(stream.getvalue(), dice)
        try:
            check_picture(data, limits)
            good = True
        except FetchError as error:
            if error.reason in ("too_many_pixels", "bad_format", "polyglot"):
                continue
            good = False
        assert good == decodes(data)
        verdicts.add(good)
    assert verdicts == {True, False}


@pytest.mark.parametrize("build", [zipped, html_jpeg, gif_script])
def test_an_image_that_is_something_else_as_well_is_a_polyglot(build: Callable[[], bytes]) -> None:
    assert reason_of(build()) == "polyglot"


@pytest.mark.parametrize("mark", [b"<ScRiPt>", b"%PDF-1.7", b"<?PHP", b"<!DOCTYPE html>"])
def test_a_page_in_the_metadata_or_behind_the_end_is_a_polyglot(mark: bytes) -> None:
    assert reason_of(with_segment(0xFE, mark)) == "polyglot"
    assert reason_of(jpeg() + mark) == "polyglot"


@pytest.mark.parametrize(
    "tail", [bytes(100), b"\r\n", jpeg(40), b"PK\x05\x06 but no archive", b"\x00\x00\x00\x18ftypmp42"]
)
def test_harmless_bytes_behind_the_end_are_kept(tail: bytes) -> None:
    assert check_picture(jpeg() + tail, Limits()).data == jpeg() + tail


def test_the_sample_jpeg_is_what_the_tests_believe() -> None:
    assert inspect_image(jpeg(96, 5), Limits()) == ("JPEG", 96, 96)
