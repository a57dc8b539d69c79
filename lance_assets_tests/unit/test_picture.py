"""Bytes are an image within the limits, or there is a reason why not."""

from __future__ import annotations

import io
import random

import pytest
from PIL import Image

from lance_assets.ingest.limits import FORMATS, Limits
from lance_assets.ingest.outcome import FetchError
from lance_assets.ingest.picture import inspect_image
from lance_assets_tests.fault_server import jpeg


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


def test_the_sample_jpeg_is_what_the_tests_believe() -> None:
    assert inspect_image(jpeg(96, 5), Limits()) == ("JPEG", 96, 96)
