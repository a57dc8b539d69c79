from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Any

import lance
import pytest

from lance_assets.errors import BadInput
from lance_assets.training import references, rows, stats
from lance_assets.training.reader_process import ReaderProcess
from lance_assets.training.references import Reference
from lance_assets.training.rows import LanceRows, parse_spec
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
    finally:
        if reader.process.stdin:
            reader.process.stdin.close()
        assert reader.process.wait(timeout=30) == 0


def _resolve_into(queue: Any, texts: list[str]) -> None:
    queue.put((references.resolve(texts), len(references._readers)))


def test_a_forked_child_reads_through_a_process_of_its_own(squares: lance.LanceDataset) -> None:
    texts = [str(Reference(squares.uri, squares.version, "image", row, 0)) for row in row_ids(squares)[:4]]
    here = references.resolve(texts)  # opens Lance in the parent: what makes a fork dangerous
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    child = fork.Process(target=_resolve_into, args=(queue, texts))
    child.start()
    assert queue.get(timeout=60) == (here, 1)
    child.join(timeout=60)
    assert child.exitcode == 0
    assert not references._readers


def test_a_reference_survives_odd_characters() -> None:
    reference = Reference("s3://bucket/a b?&%.lance", 12, "im&age?", 2**40, 3)
    assert references.parse(str(reference)) == reference


def test_what_was_read_is_recorded_and_summed(
    squares: lance.LanceDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "stats.jsonl"
    monkeypatch.setenv(stats.VARIABLE, str(record))
    references.resolve([str(Reference(squares.uri, squares.version, "image", row, 0)) for row in row_ids(squares)[:5]])
    stats.note(columns=["messages"], rows=24, bytes=100)
    total = stats.read_stats(record)
    assert (total["columns"], total["rows"], total["images_fetched"]) == (["image", "messages"], 24, 5)
    assert total["text_bytes"] == 100
    assert total["image_bytes"] >= 5 * 150
    assert len([json.loads(line) for line in record.read_text().splitlines()]) == 2
