"""Captions from files: what is a problem of one row, told in its place while the others are read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lance_assets.sources import formats
from lance_assets.sources.base import RawRow
from lance_assets_tests.unit.caption_files import all_rows, rows_of, write


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


def test_a_garbage_file_beside_a_good_one_keeps_its_rows_as_problems(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("garbage\nmore\n")
    write(tmp_path / "b.jsonl", rows_of(1))
    (tmp_path / "c.jsonl").write_text("garbage\n")
    rows = all_rows(tmp_path)
    assert [row.problem is None for row in rows] == [False, False, True, False]
