"""Images at paths that strangers wrote down: only regular files under an allowed folder are ever opened."""

from __future__ import annotations

import hashlib
import os
import time
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from lance_assets.ingest.limits import Limits
from lance_assets.ingest.local import checked_bytes, read_local
from lance_assets.ingest.outcome import FetchError

LIMITS = Limits(max_bytes=50_000)


def png(side: int = 32) -> bytes:
    sink = BytesIO()
    Image.new("RGB", (side, side), (9, 99, 199)).save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of images, beside a secret one."""
    for name in ("images/a.png", "images/sub/b.png", "images/../more/c.png", "secret.png"):
        path = tmp_path / "top" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png())
    return tmp_path / "top" / "images"


def refused(path: str, *roots: Path, limits: Limits = LIMITS) -> FetchError:
    with pytest.raises(FetchError) as caught:
        read_local(path, roots, limits)
    return caught.value


@pytest.mark.parametrize(
    ("path", "place"),
    [("a.png", "a.png"), ("sub/b.png", "sub/b.png"), ("./sub/../a.png", "a.png"), ("{root}/sub/b.png", "sub/b.png")],
)
def test_a_file_under_the_root_is_read_and_checked(root: Path, path: str, place: str) -> None:
    found = read_local(path.format(root=root), [root], LIMITS)
    assert found.data == png() and found.sha256 == hashlib.sha256(png()).hexdigest()
    assert (found.format, found.width, found.height) == ("PNG", 32, 32)
    assert (found.final_url, found.status, found.attempts) == (place, 0, 1)


def test_the_first_root_that_has_the_file_gives_it(root: Path) -> None:
    more = root.parent / "more"
    assert read_local("c.png", [root, more], LIMITS).final_url == "c.png"
    (more / "a.png").write_bytes(png(40))
    assert read_local("a.png", [root, more], LIMITS).width == 32
    assert read_local("a.png", [more, root], LIMITS).width == 40
    assert read_local(str(more / "c.png"), [root, more], LIMITS).final_url == "c.png"
    assert read_local("../more/c.png", [root, more], LIMITS).final_url == "c.png"


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    "path",
    ["../secret.png", "sub/../../secret.png", "{top}/secret.png", "/etc/passwd", "..", "~/x.png/../../../x", "/"],
)
def test_a_path_that_leaves_the_root_is_not_allowed_whether_or_not_it_leads_anywhere(
    root: Path, path: str, there: bool
) -> None:
    if not there:
        (root.parent / "secret.png").unlink()
    assert refused(path.format(top=root.parent), root).reason == "path_not_allowed"


def test_a_root_is_no_prefix_of_a_name(root: Path) -> None:
    twin = root.with_name("images-private")
    twin.mkdir()
    (twin / "a.png").write_bytes(png())
    assert refused("../images-private/a.png", root).reason == "path_not_allowed"
    assert refused(str(twin / "a.png"), root).reason == "path_not_allowed"


@pytest.mark.parametrize("target", ["../secret.png", "{top}/secret.png", "/etc/passwd", "../nowhere.png"])
def test_a_link_out_of_the_root_is_not_followed(root: Path, target: str) -> None:
    (root / "link.png").symlink_to(target.format(top=root.parent))
    (root / "folder").symlink_to(root.parent)
    assert refused("link.png", root).reason == "path_not_allowed"
    assert refused("folder/secret.png", root).reason == "path_not_allowed"


def test_a_link_within_the_root_is_fine_and_so_is_a_root_that_is_a_link(root: Path, tmp_path: Path) -> None:
    (root / "link.png").symlink_to("sub/b.png")
    (tmp_path / "alias").symlink_to(root)
    assert read_local("link.png", [tmp_path / "alias"], LIMITS).final_url == "sub/b.png"
    assert read_local(f"{tmp_path}/alias/a.png", [root], LIMITS).final_url == "a.png"


def test_links_in_a_circle_end(root: Path) -> None:
    (root / "one.png").symlink_to("two.png")
    (root / "two.png").symlink_to("one.png")
    assert refused("one.png", root).reason == "path_not_allowed"


def test_pipes_devices_sockets_and_folders_are_not_opened_and_nobody_waits(root: Path) -> None:
    os.mkfifo(root / "pipe.png")
    (root / "device.png").symlink_to("/dev/zero")
    started = time.monotonic()
    for path in ("pipe.png", "device.png", "sub", "."):
        assert refused(path, root).reason == "path_not_allowed"
    assert refused("/dev/zero", Path("/dev")).reason == "path_not_allowed"
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("path", ["none.png", "sub/none.png", "a.png/b.png", "images\\a.png", "{root}/none.png"])
def test_a_file_that_is_not_there_is_missing(root: Path, path: str) -> None:
    error = refused(path.format(root=root), root)
    assert error.reason == "file_missing" and not error.transient


@pytest.mark.parametrize("path", ["a\0.png", "\ud800.png", "x" * 300, "x/" * 3000])
def test_what_can_be_no_path_is_not_allowed(root: Path, path: str) -> None:
    error = refused(path, root)
    assert error.reason == "path_not_allowed" and "\0" not in error.detail


def test_without_a_root_nothing_is_allowed(root: Path) -> None:
    error = refused(str(root / "a.png"))
    assert error.reason == "path_not_allowed" and not error.transient


def test_a_huge_file_is_refused_unread(root: Path) -> None:
    with (root / "huge.png").open("wb") as stream:
        stream.truncate(1 << 40)  # a terabyte of nothing
    started = time.monotonic()
    error = refused("huge.png", root)
    assert error.reason == "too_large" and str(1 << 40) in error.detail
    assert time.monotonic() - started < 1


def test_what_is_no_image_is_refused_as_a_download_would_be(root: Path) -> None:
    (root / "text.png").write_text("<html>")
    (root / "empty.png").touch()
    (root / "cut.png").write_bytes(png(200)[:-30])
    (root / "dot.png").write_bytes(png(2))
    reasons = [refused(name, root).reason for name in ("text.png", "empty.png", "cut.png", "dot.png")]
    assert reasons == ["not_an_image", "not_an_image", "corrupt_image", "too_small"]


def test_bytes_pass_the_same_checks() -> None:
    assert checked_bytes(png(), LIMITS).final_url == ""
    for data, reason in ((b"", "not_an_image"), (b"x" * 50_001, "too_large"), (png(2), "too_small")):
        with pytest.raises(FetchError) as caught:
            checked_bytes(data, LIMITS)
        assert caught.value.reason == reason


def test_orientation_and_location_are_treated_as_those_of_a_download() -> None:
    image, exif, sink = Image.new("RGB", (40, 30)), Image.Exif(), BytesIO()
    exif[0x0112] = 6
    exif[0x8825] = {1: "N", 2: (48.0, 8.0, 14.0)}
    image.save(sink, "JPEG", exif=exif)
    kept = checked_bytes(sink.getvalue(), LIMITS)
    assert (kept.orientation, kept.location_stripped, kept.data) == (6, False, sink.getvalue())
    stripped = checked_bytes(sink.getvalue(), Limits(strip_location=True))
    assert (stripped.orientation, stripped.location_stripped) == (6, True)
    with Image.open(BytesIO(stripped.data), formats=["JPEG"]) as image:
        assert not image.getexif().get_ifd(0x8825)


def test_a_file_without_read_permission_is_not_allowed(root: Path, request: pytest.FixtureRequest) -> None:
    (root / "a.png").chmod(0)
    request.getfixturevalue("ordinary_user")
    error = refused("a.png", root)
    assert error.reason == "path_not_allowed" and "Permission denied" in error.detail
