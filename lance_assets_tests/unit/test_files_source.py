"""Captions from files: which files are read, which rows they give, and by which columns."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lance_assets.errors import BadInput
from lance_assets.sources.base import RawRow
from lance_assets_tests.unit.caption_files import all_rows, rows_of, source, write


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_file_gives_its_rows_digest_and_any_range(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", rows_of(10))
    found = source(path)
    [file] = found.files()
    assert (file.path, file.rows) == (f"a{suffix}", 10)
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    everything = list(found.read(file, 0, 10))
    assert everything == [RawRow(n, f"http://h/{n}.jpg", f"c {n}") for n in range(10)]
    for first in range(11):
        for end in range(first, 11):
            assert list(found.read(file, first, end)) == everything[first:end]


def test_a_folder_is_searched_recursively_in_path_order(tmp_path: Path) -> None:
    for name in ("b.csv", "a/z.parquet", "a.jsonl", "c/d/e.JSONL", ".hidden/x.jsonl", "c/.y.jsonl"):
        write(tmp_path / name, rows_of(1))
    (tmp_path / "notes.txt").write_text("not data")
    assert [file.path for file in source(tmp_path).files()] == ["a.jsonl", "a/z.parquet", "b.csv", "c/d/e.JSONL"]


def test_the_signature_moves_with_every_file_and_reads_none(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", rows_of(1))
    opened = source(tmp_path)
    seen = [opened.signature(), opened.signature()]
    write(tmp_path / "b.jsonl", rows_of(1))
    seen.append(opened.signature())
    write(tmp_path / "b.jsonl", rows_of(2))
    seen.append(opened.signature())
    (tmp_path / "a.jsonl").unlink()
    seen.append(opened.signature())
    assert seen[0] == seen[1] and len(set(seen)) == 4
    (tmp_path / "b.jsonl").write_text("this is no json")
    assert opened.signature() not in seen
    with pytest.raises(BadInput):
        source(tmp_path / "nowhere").signature()


@pytest.mark.parametrize(("pattern", "paths"), [("part-*.jsonl", ["part-1.jsonl"]), ("**/*.jsonl", None)])
def test_a_glob_names_paths_from_its_fixed_part(tmp_path: Path, pattern: str, paths: list[str] | None) -> None:
    for name in ("part-1.jsonl", "sub/part-2.jsonl", "part-3.csv"):
        write(tmp_path / name, rows_of(1))
    found = source(f"{tmp_path}/{pattern}")
    files = list(found.files())
    assert [file.path for file in files] == (paths or ["part-1.jsonl", "sub/part-2.jsonl"])
    assert [row.image for file in files for row in found.read(file, 0, 1)] == ["http://h/0.jpg"] * len(files)


def test_columns_are_chosen_by_row_and_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", [{"image_url": "u1", "text": "t1"}, {"url": "u2", "cap_seg": "t2"}])
    assert [(row.image, row.caption) for row in all_rows(path)] == [("u1", "t1"), ("u2", "t2")]
    path = write(tmp_path / "y.jsonl", [{"url": "u", "src": "mine", "alt": "also mine"}])
    assert all_rows(path, url="src", caption="alt") == [RawRow(0, "mine", "also mine")]


def test_an_empty_file_beside_good_ones_is_skipped_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "good.jsonl", rows_of(2))
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "header.csv").write_text("url,caption\n")
    pq.write_table(pa.table({"url": pa.array([], pa.string())}), tmp_path / "none.parquet")
    with caplog.at_level(logging.WARNING):
        assert [file.path for file in source(tmp_path).files()] == ["good.jsonl"]
    for name in ("empty.jsonl", "header.csv", "none.parquet"):
        assert f"{name} holds no rows" in caplog.text
