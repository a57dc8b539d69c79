from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pytest

from lance_assets.errors import BadInput
from lance_assets.training import access, references, rows, stats
from lance_assets.training.launch import CAPTION
from lance_assets.training.reader_process import ReaderProcess
from lance_assets.training.references import Reference
from lance_assets.training.rows import LanceRows, parse_spec
from lance_assets_tests.s3_server import S3
from lance_assets_tests.unit.training_table import square, write_squares


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> lance.LanceDataset:
    return write_squares(tmp_path_factory.mktemp("data") / "images.lance", 24, heavy_bytes=20_000)


def row_ids(dataset: lance.LanceDataset) -> list[int]:
    return dataset.scanner(columns=["id"], with_row_id=True).to_table()["_rowid"].to_pylist()


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


def test_the_reader_process_answers_like_a_direct_read_and_passes_errors_on(squares: lance.LanceDataset) -> None:
    ids = row_ids(squares)
    reader = ReaderProcess()
    try:
        direct, _ = rows.fetch(squares.uri, squares.version, "image", ids[3:9])
        assert reader.fetch(squares.uri, squares.version, "image", ids[3:9])[0] == direct
        with pytest.raises(BadInput, match="no row with row id 123456789"):
            reader.fetch(squares.uri, squares.version, "image", [123456789])
        assert reader.fetch(squares.uri, squares.version, "image", ids[:1])[0] == [[square("red", 0)]]
        source = LanceRows(squares.uri, squares.version, "id >= 'row-0009'")
        part = rows.parts(source)[0]
        assert reader.scan(source, ["id", "messages"], part)[0].equals(rows.scan(source, ["id", "messages"], part)[0])
    finally:
        if reader.process.stdin:
            reader.process.stdin.close()
        assert reader.process.wait(timeout=30) == 0


def _read_into(queue: Any, texts: list[str], source: LanceRows) -> None:
    table, _ = access.scan(source, ["id"], rows.Part(1, 2, 3))
    queue.put((references.resolve(texts), table["id"].to_pylist(), len(access._readers)))


def test_a_forked_child_reads_through_a_process_of_its_own(squares: lance.LanceDataset) -> None:
    texts = [str(Reference(squares.uri, squares.version, "image", row, 0)) for row in row_ids(squares)[:4]]
    opened = rows.fetch(squares.uri, squares.version, "image", row_ids(squares)[:4])  # what makes a fork dangerous
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    child = fork.Process(target=_read_into, args=(queue, texts, LanceRows(squares.uri, squares.version)))
    child.start()
    assert queue.get(timeout=60) == ([many[0] for many in opened[0]], ["row-0010", "row-0011", "row-0012"], 1)
    child.join(timeout=60)
    assert child.exitcode == 0
    assert not access._readers


def test_an_object_store_is_read_in_the_process_itself_and_in_a_reader_process(s3: S3) -> None:
    dataset = write_squares(f"{s3.uri}/reader/images.lance", 10)
    dataset.tags.create("sft-1", dataset.version)
    source = parse_spec("squares", {"uri": dataset.uri, "tag": "sft-1", "filter": "id >= 'row-0006'"}, "")
    found, read = rows.scan(source, ["id"])
    assert found["id"].to_pylist() == [f"row-{i:04d}" for i in range(6, 10)]
    assert read > 0
    reader, ids = ReaderProcess(), found["_rowid"].to_pylist()
    try:
        images, _ = reader.fetch(source.uri, source.version, "image", ids[:2])
        assert (
            images
            == rows.fetch(source.uri, source.version, "image", ids[:2])[0]
            == [[square("blue", 1)], [square("yellow", 1)]]
        )
        assert reader.scan(source, ["id"], rows.parts(source)[1])[0]["id"].to_pylist() == ["row-0008", "row-0009"]
    finally:
        if reader.process.stdin:
            reader.process.stdin.close()
        reader.process.wait(timeout=30)


def test_a_reference_survives_odd_characters() -> None:
    reference = Reference("s3://bucket/a b?&%.lance", 12, "im&age?", 2**40, 3, "my & set?")
    assert references.parse(str(reference)) == reference


def test_an_image_that_was_just_read_is_not_read_again_and_the_memory_for_it_is_bounded(
    squares: lance.LanceDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "_kept", references._Kept())
    monkeypatch.setattr(references, "KEPT_BYTES", 3 * len(square("red", 0)))
    monkeypatch.setenv(stats.VARIABLE, str(tmp_path / "stats.jsonl"))
    texts = [str(Reference(squares.uri, squares.version, "image", row, 0)) for row in row_ids(squares)[:8]]
    first = references.resolve(texts[:2])
    assert references.resolve([texts[1], texts[0]]) == first[::-1]
    assert stats.read_stats(tmp_path / "stats.jsonl")["images_fetched"] == 2
    references.resolve(texts)
    assert references._kept.bytes == sum(map(len, references._kept.images.values())) <= references.KEPT_BYTES
    assert references.resolve(texts[:2]) == first


def write_lists(folder: Path) -> lance.LanceDataset:
    """Rows with two images, one, none (NULL) and one too few."""
    table = pa.table(
        {
            "images": pa.array(
                [[square("red", 0), square("blue", 0)], [square("green", 0)], None, [square("red", 1)]],
                pa.list_(pa.large_binary()),
            ),
            "picture": pa.array([square("red", 0), None, None, None], pa.large_binary()),
        }
    )
    return lance.write_dataset(table, str(folder), enable_stable_row_ids=True)


def test_a_column_may_hold_many_images_a_row_and_what_is_missing_is_told_by_row(tmp_path: Path) -> None:
    dataset = write_lists(tmp_path / "lists.lance")

    def text(column: str, row: int, item: int) -> str:
        return str(Reference(dataset.uri, dataset.version, column, row, item))

    found = references.resolve([text("images", 1, 0), text("images", 0, 1), text("images", 0, 0)])
    assert found == [square("green", 0), square("blue", 0), square("red", 0)]
    with pytest.raises(BadInput, match=r"row id 3 shows more images .* which are 1"):
        references.resolve([text("images", 3, 1)])
    for column in ("images", "picture"):
        with pytest.raises(BadInput, match=f"row id 2 has no {column}"):
            references.resolve([text(column, 2, 0)])


def test_rows_seen_add_up_over_batches_and_processes_in_whatever_order(tmp_path: Path) -> None:
    path = tmp_path / "stats.jsonl"
    batches = [
        {"train": [2, stats.checksum([7, 3])]},
        {"eval": [1, stats.checksum([9])]},
        {"train": [1, stats.checksum([5])]},
    ]
    path.write_text("".join(json.dumps({"seen": batch}) + "\n" for batch in batches))
    seen = stats.read_stats(path)["seen"]
    assert seen["train"] == {"rows": 3, "checksum": f"{stats.checksum([3, 5, 7]):016x}"}
    assert seen["eval"]["rows"] == 1
    assert stats.checksum([3, 5, 7, 7]) != stats.checksum([3, 5, 7]) != stats.checksum([3, 5, 8])


def test_what_was_read_is_recorded_and_summed(
    squares: lance.LanceDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "stats.jsonl"
    monkeypatch.setenv(stats.VARIABLE, str(record))
    monkeypatch.setattr(references, "_kept", references._Kept())
    references.resolve([str(Reference(squares.uri, squares.version, "image", row, 0)) for row in row_ids(squares)[:5]])
    stats.note(columns=["messages"], rows=24, bytes=100)
    total = stats.read_stats(record)
    assert (total["columns"], total["rows"], total["images_fetched"]) == (["image", "messages"], 24, 5)
    assert total["text_bytes"] == 100
    assert total["image_bytes"] >= 5 * 150
    assert len([json.loads(line) for line in record.read_text().splitlines()]) == 2
