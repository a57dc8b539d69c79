"""Which rows of a table a training reads: the pinned version, its parts, and no column more than asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lance
import pytest

from lance_assets.errors import BadInput
from lance_assets.training import rows
from lance_assets.training.launch import CAPTION
from lance_assets.training.rows import LanceRows, parse_spec
from lance_assets_tests.unit.training_table import row_ids, square, write_squares


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"uri": "a.lance"}, "version"),
        ({"uri": "a.lance", "version": "latest"}, "version"),
        ({"uri": "a.lance", "version": True}, "version"),
        ({"version": 1}, "uri"),
        ("a.lance", "uri"),
        ({"uri": "a.lance", "version": 1, "storage_options": {}}, "storage_options"),
        ({"uri": "a.lance", "version": 1, "tag": "sft-1"}, "either"),
        ({"uri": "a.lance", "version": 1, "columns": ["messages"]}, "columns"),
    ],
)
def test_an_entry_that_does_not_pin_a_version_or_carries_more_is_refused(spec: Any, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        parse_spec("captions", spec, "/data")


def test_a_relative_uri_starts_at_the_folder_of_the_entry_and_an_object_store_is_left_alone(tmp_path: Path) -> None:
    assert parse_spec("c", {"uri": "a.lance", "version": 3}, str(tmp_path)).uri == str(tmp_path / "a.lance")
    assert parse_spec("c", {"uri": "s3://b/a.lance", "version": 3}, str(tmp_path)).uri == "s3://b/a.lance"


def test_a_scan_reads_the_pinned_version_and_not_the_newest(tmp_path: Path) -> None:
    dataset = write_squares(tmp_path / "t.lance", 8)
    pinned = dataset.version
    dataset.delete("id < 'row-0004'")
    assert rows.scan(LanceRows(dataset.uri, pinned, None, 8), ["messages"])[0].num_rows == 8


def test_an_entry_may_name_a_tag_which_is_the_version_that_it_has_now(tmp_path: Path) -> None:
    dataset = write_squares(tmp_path / "t.lance", 8)
    pinned = dataset.version
    dataset.tags.create("sft-1", pinned)
    dataset.delete("id < 'row-0004'")
    source = parse_spec("squares", {"uri": dataset.uri, "tag": "sft-1"}, "")
    assert (source.version, source.name) == (pinned, "squares")
    with pytest.raises(BadInput, match="tag sft-2 cannot be opened"):
        parse_spec("squares", {"uri": dataset.uri, "tag": "sft-2"}, "")


def test_a_column_may_be_made_by_sql(squares: lance.LanceDataset) -> None:
    spec = {"uri": squares.uri, "version": squares.version, "filter": "id < 'row-0002'", "columns": CAPTION}
    table, _ = rows.scan(parse_spec("captions", spec, ""), ["id", "caption"])
    assert table.select(["id", "caption"]).to_pylist() == [
        {"id": "row-0000", "caption": "The square is red."},
        {"id": "row-0001", "caption": "The square is green."},
    ]


def test_parts_cover_the_selected_rows_once_and_in_order(squares: lance.LanceDataset) -> None:
    rows_of_two = "id >= 'row-0003' AND id != 'row-0010'"
    source = LanceRows(squares.uri, squares.version, rows_of_two, 20)
    parts = rows.parts(source)
    assert [(part.fragment, part.limit) for part in parts] == [(0, 5), (1, 7), (2, 8)]
    found = [name for part in parts for name in rows.scan(source, ["id"], part)[0]["id"].to_pylist()]
    assert found == rows.scan(source, ["id"])[0]["id"].to_pylist()
    with pytest.raises(BadInput, match=r"gives 20 rows .* names 19"):
        rows.parts(LanceRows(squares.uri, squares.version, rows_of_two, 19))


def test_parts_of_a_large_fragment_are_small_enough_to_be_shared_out(
    squares: lance.LanceDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "PART_ROWS", 3)
    source = LanceRows(squares.uri, squares.version, "id < 'row-0008'")
    assert [part[1:] for part in rows.parts(source)] == [(0, 3), (3, 3), (6, 2)]
    found = [name for part in rows.parts(source) for name in rows.scan(source, ["id"], part)[0]["id"].to_pylist()]
    assert found == [f"row-{i:04d}" for i in range(8)]


def test_a_scan_of_text_reads_neither_images_nor_other_columns(squares: lance.LanceDataset) -> None:
    table, read = rows.scan(LanceRows(squares.uri, squares.version), ["messages"])
    whole = sum(file.stat().st_size for file in Path(squares.uri).glob("data/*"))
    assert table.column_names == ["messages", "_rowid"]
    assert whole > 24 * 20_000
    assert 0 < read < whole / 20


def test_another_row_count_than_the_manifest_names_is_refused(squares: lance.LanceDataset) -> None:
    with pytest.raises(BadInput, match=r"gives 24 rows .* names 23"):
        rows.scan(LanceRows(squares.uri, squares.version, None, 23), ["messages"])


@pytest.mark.parametrize(("columns", "chosen"), [(["nothing"], None), (["messages"], "nothing >= 3")])
def test_a_column_that_is_not_there_is_named(squares: lance.LanceDataset, columns: list[str], chosen: str) -> None:
    with pytest.raises(BadInput, match="nothing"):
        rows.scan(LanceRows(squares.uri, squares.version, chosen), columns)


def test_a_version_that_is_not_there_is_named(squares: lance.LanceDataset) -> None:
    with pytest.raises(BadInput, match="version 999"):
        rows.scan(LanceRows(squares.uri, 999), ["messages"])


def test_images_come_back_in_the_order_asked_also_twice(squares: lance.LanceDataset) -> None:
    ids = row_ids(squares)
    images, read = rows.fetch(squares.uri, squares.version, "image", [ids[17], ids[0], ids[17]])
    assert images == [[square("green", 4)], [square("red", 0)], [square("green", 4)]]
    assert 0 < read < 20_000
