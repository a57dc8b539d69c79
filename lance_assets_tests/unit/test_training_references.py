"""Images that a training sample names: resolved row by row, kept for a while, and counted."""

from __future__ import annotations

import json
from pathlib import Path

import lance
import pyarrow as pa
import pytest

from lance_assets.errors import BadInput
from lance_assets.training import references, stats
from lance_assets.training.references import Reference
from lance_assets_tests.unit.training_table import row_ids, square


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
