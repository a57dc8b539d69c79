"""A picture at a smaller size depends on the file and the size alone: never on who was asked with the same row."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from lance_assets.scoring.api import Item, ScoreFailure, State
from lance_assets.scoring.decoding import decode, factor_for

SIZES = [(1001, 701), (1000, 700), (640, 480), (513, 9), (4000, 3), (17, 1), (64, 64)]


def encoded(kind: str, size: tuple[int, int], mode: str = "RGB", **options: object) -> bytes:
    pixels = np.linspace(0, 255, size[0] * size[1] * 3).reshape(size[1], size[0], 3).astype(np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(sink, kind, **options)
    return sink.getvalue()


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_each_side_is_divided_by_the_factor_and_rounded_up(kind: str, size: tuple[int, int], factor: int) -> None:
    assert decode(encoded(kind, size), factor).size == (-(-size[0] // factor), -(-size[1] // factor))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_every_kind_of_jpeg_is_scaled_alike(mode: str, progressive: bool) -> None:
    picture = decode(encoded("JPEG", (1001, 701), mode, progressive=progressive), 8)
    assert (picture.size, picture.mode) == ((126, 88), "RGB")


@pytest.mark.parametrize("size", [(1001, 701), (2049, 33)])
def test_a_draft_shows_what_the_whole_picture_shows(size: tuple[int, int]) -> None:
    data = encoded("JPEG", size, quality=95)
    small, whole = decode(data, 8), decode(data)
    exact = np.asarray(whole.reduce(8), np.float32)
    assert np.abs(np.asarray(small, np.float32) - exact).mean() < 4


def test_a_picture_is_scaled_down_only_as_far_as_its_longer_side_stays_large_enough() -> None:
    assert [factor_for(1024, 10, size) for size in (None, 2000, 513, 512, 256, 129, 128, 1)] == [1, 1, 1, 2, 4, 4, 8, 8]
    assert [factor_for(10, 1024, 256), factor_for(0, 0, 16)] == [4, 1]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_what_an_item_shows_does_not_depend_on_what_it_was_asked_before(kind: str) -> None:
    data = encoded(kind, (1001, 701))
    alone = [Item("a", data=data).picture(size).tobytes() for size in (100, 300, None)]
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        item, found = Item("a", data=data), {}
        for at in order:
            item.luma((100, 300, None)[at])
            found[at] = item.picture((100, 300, None)[at]).tobytes()
        assert [found[at] for at in range(3)] == alone


def test_sizes_of_one_factor_share_a_decode_and_forgetting_frees_it() -> None:
    item = Item("a", data=encoded("JPEG", (1000, 700)))
    small = item.picture(125)
    assert item.picture(100) is small and item.luma(100) is item.luma(125)
    item.forget_pictures()
    assert item.picture(125) is not small and item.picture(125).tobytes() == small.tobytes()


def test_luma_is_that_of_itu_601_at_the_size_of_the_picture() -> None:
    sink = io.BytesIO()
    Image.new("RGB", (64, 32), (255, 0, 0)).save(sink, "PNG")
    luma = Item("a", data=sink.getvalue()).luma(16)
    assert (luma.shape, luma.dtype, luma[0, 0]) == ((8, 16), np.float32, 76)


@pytest.mark.parametrize("data", [None, b"", b"no picture", encoded("PNG", (90, 90))[:80]])
def test_a_picture_that_cannot_be_shown_says_so_at_every_size(data: bytes | None) -> None:
    item = Item("a", data=data)
    for show in (lambda: item.image, lambda: item.gray, lambda: item.picture(10), lambda: item.luma(10)):
        with pytest.raises(ScoreFailure) as caught:
            show()
        assert caught.value.state == State.FAILED_PERMANENT


def test_an_item_without_data_has_no_digest() -> None:
    with pytest.raises(ScoreFailure, match="the row has no image"):
        _ = Item("a").sha256
