"""The processes that read a table for a training: on their own, after a fork, from an object store."""

from __future__ import annotations

import multiprocessing
from typing import Any

import lance
import pytest

from lance_assets.errors import BadInput
from lance_assets.training import access, references, rows
from lance_assets.training.reader_process import ReaderProcess
from lance_assets.training.references import Reference
from lance_assets.training.rows import LanceRows, parse_spec
from lance_assets_tests.s3_server import S3
from lance_assets_tests.unit.training_table import row_ids, square, write_squares


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
