"""Captions from files: what is a row, what is a problem of one row, and what is bad input."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lance_assets.errors import BadInput
from lance_assets.sources import formats
from lance_assets.sources.base import Columns, RawRow
from lance_assets.sources.files import FilesSource


def rows_of(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"opensource_url": f"http://h/{n}.jpg", "global_caption": f"c {n}"} for n in range(start, start + count)]


def write(path: Path, rows: list[dict[str, Any]], group: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=group)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def source(spec: Path | str, **columns: str) -> FilesSource:
    return FilesSource("s", str(spec), Columns(**columns))


def all_rows(spec: Path | str, **columns: str) -> list[RawRow]:
    found = source(spec, **columns)
    return [row for file in found.files() for row in found.read(file, 0, file.rows)]


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


def test_bad_jsonl_lines_are_problems_in_their_place(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    good = b'{"url": "http://h/1.jpg", "caption": "one"}\n'
    deep = b'{"url": ' + b"[" * 100_000 + b"\n"
    path.write_bytes(b"\xef\xbb\xbf" + good + b"\n  \n{cut\n" + b"[1]\n" + b'{"url": "\xff"}\n' + deep + good.strip())
    rows = all_rows(path)
    assert [row.row for row in rows] == [0, 1, 2, 3, 4, 5]
    assert rows[0] == RawRow(0, "http://h/1.jpg", "one") and rows[5] == RawRow(5, "http://h/1.jpg", "one")
    starts = [f"line {line} of x.jsonl is not a JSON object: " for line in (4, 5, 6, 7)]
    for row, start in zip(rows[1:5], starts, strict=True):
        assert row.problem is not None and row.problem.startswith(start)
        assert row.image is None and row.caption is None


def test_an_endless_line_is_one_problem_and_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_LINE", 100)
    good = '{"url": "http://h/1.jpg"}\n'
    path = tmp_path / "x.jsonl"
    path.write_text(good + "x" * 1000 + "\n" + good)
    first, long, last = all_rows(path)
    assert long.problem == "line 2 of x.jsonl is longer than 100 bytes"
    assert first.image == last.image == "http://h/1.jpg"


def test_bad_csv_records_are_problems_in_their_place(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(
        b"\xef\xbb\xbfurl,caption\nhttp://h/1.jpg,one\nhttp://h/2.jpg\na,b,c\n\nhttp://h/3.jpg,\xff\n"
        b'http://h/4.jpg,"two\nlines"\nhttp://h/5.jpg,\n'
    )
    rows = all_rows(path)
    assert [row.image for row in rows] == ["http://h/1.jpg", None, None, None, "http://h/4.jpg", "http://h/5.jpg"]
    assert [row.problem for row in rows] == [
        None,
        "line 3 of x.csv has 1 fields, but the header has 2",
        "line 4 of x.csv has 3 fields, but the header has 2",
        "line 6 of x.csv is not UTF-8",
        None,
        None,
    ]
    assert rows[4].caption == "two\nlines" and rows[5].caption is None


def test_a_csv_line_beyond_the_limit_is_a_problem_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "MAX_LINE", 1000)
    path = tmp_path / "x.csv"
    path.write_text("url,caption\nhttp://h/1.jpg," + "x" * 3500 + "\nhttp://h/2.jpg,two\n")
    first, second = all_rows(path)
    assert first.problem == "line 2 of x.csv is not valid CSV: it is longer than 1000 characters"
    assert second == RawRow(1, "http://h/2.jpg", "two")


def test_a_dense_caption_of_a_csv_may_be_longer_than_csv_takes_by_default(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("url,caption\nhttp://h/1.jpg," + "x" * 200_000 + "\n")
    [row] = all_rows(path)
    assert row.problem is None and len(row.caption) == 200_000


def test_broken_text_in_parquet_costs_one_row(tmp_path: Path) -> None:
    broken = pa.array([b"http://h/1.jpg", b"\xff\xfe", b"http://h/3.jpg"]).view(pa.string())
    pq.write_table(pa.table({"url": broken}), tmp_path / "x.parquet")
    first, second, third = all_rows(tmp_path / "x.parquet")
    assert (first.image, third.image) == ("http://h/1.jpg", "http://h/3.jpg")
    assert second.problem is not None and second.problem.startswith("row 1 of x.parquet cannot be read: ")


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


def test_a_garbage_file_beside_a_good_one_keeps_its_rows_as_problems(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("garbage\nmore\n")
    write(tmp_path / "b.jsonl", rows_of(1))
    (tmp_path / "c.jsonl").write_text("garbage\n")
    rows = all_rows(tmp_path)
    assert [row.problem is None for row in rows] == [False, False, True, False]


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
