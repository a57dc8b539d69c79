"""Captions from files: what is bad input, refused in one sentence that names the file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lance_assets.errors import BadInput
from lance_assets_tests.unit.caption_files import rows_of, source, write


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: None, "there is no file or folder"),
        (lambda p: p.mkdir(), "holds no .arrow, .csv, .json, .jsonl, .parquet file"),
        (lambda p: write(p / "x.txt", rows_of(1)), "holds no .arrow, .csv, .json, .jsonl, .parquet file"),
        (lambda p: write(p / "x.jsonl", []), "holds no rows: every file there is empty"),
        (lambda p: (p.mkdir(), (p / "x.jsonl").write_text("garbage")), "x.jsonl holds no valid record"),
        (lambda p: (p.mkdir(), (p / "x.parquet").write_bytes(b"garbage")), "x.parquet is not a parquet file"),
        (lambda p: (p.mkdir(), (p / "x.parquet").touch()), "x.parquet is not a parquet file"),
        (lambda p: write(p / "x.jsonl", [{"foo": 1, "bar": 2}]), "has no image column"),
        (lambda p: write(p / "x.parquet", [{"foo": 1, "bar": 2}]), "has no image column"),
    ],
)
def test_unusable_input_is_one_clear_sentence(tmp_path: Path, make: Any, words: str) -> None:
    make(tmp_path / "in")
    with pytest.raises(BadInput, match=words) as caught:
        list(source(tmp_path / "in").files())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_an_unknown_column_is_named_with_the_file(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"x{suffix}", rows_of(1))
    with pytest.raises(BadInput, match=rf"x\{suffix} has no column 'nope'"):
        list(source(path, caption="nope").files())


def test_a_single_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("hello")
    with pytest.raises(BadInput, match="holds no"):
        list(source(tmp_path / "x.txt").files())


def test_a_file_that_changed_after_the_listing_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", rows_of(3))
    found = source(path)
    [file] = found.files()
    write(path, rows_of(5, start=50))
    with pytest.raises(BadInput, match="changed since it was listed"):
        list(found.read(file, 0, 3))


def test_a_vanished_file_and_a_range_past_the_end_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write(folder / "x.jsonl", rows_of(3))
    found = source(folder)
    [file] = found.files()
    with pytest.raises(BadInput, match="has 3 rows"):
        list(found.read(file, 2, 5))
    (folder / "x.jsonl").unlink()
    with pytest.raises(BadInput, match=r"x\.jsonl cannot be read: No such file"):
        list(found.read(file, 0, 3))


def test_a_damaged_parquet_is_bad_input_when_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.parquet", rows_of(2000), group=500)
    data = bytearray(path.read_bytes())
    data[4 : len(data) // 2] = os.urandom(len(data) // 2 - 4)
    path.write_bytes(data)
    found = source(path)
    [file] = found.files()
    with pytest.raises(BadInput, match=r"x\.parquet cannot be read at row"):
        list(found.read(file, 0, file.rows))


def test_a_file_without_read_permission_is_named(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = write(tmp_path / "x.jsonl", rows_of(1))
    path.chmod(0)
    request.getfixturevalue("ordinary_user")
    with pytest.raises(BadInput, match=r"x\.jsonl cannot be read: Permission denied"):
        list(source(tmp_path).files())


def test_a_folder_without_permission_is_not_skipped_in_silence(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    write(tmp_path / "in" / "a.jsonl", rows_of(1))
    locked = write(tmp_path / "in" / "locked" / "b.jsonl", rows_of(1)).parent
    locked.chmod(0)
    request.getfixturevalue("ordinary_user")
    with pytest.raises(BadInput, match="locked cannot be read: Permission denied"):
        list(source(tmp_path / "in").files())
