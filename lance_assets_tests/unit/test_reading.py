"""What a label task reads: only stale rows, only columns that somebody reads, a bounded piece at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import lance
import numpy as np
import pyarrow as pa
import pytest

from lance_assets.compute import reading
from lance_assets.compute.reading import facts, read_by, shares, stale_rows
from lance_assets.scoring.registry import scorers
from lance_assets.store.files import DataRoot
from lance_assets.store.table import open_images
from lance_assets_tests.scorers import Counted
from lance_assets_tests.tables import add_batch


@pytest.fixture
def dataset(tmp_path: Path) -> lance.LanceDataset:
    root = DataRoot(tmp_path / "data")
    add_batch(root, "a", 60, fragments=2)
    return open_images(root)


def chunks(dataset: lance.LanceDataset, number: int = 0, **wanted: Sequence[int] | None) -> list[pa.Table]:
    chosen = {**scorers(["sharpness", "caption_quality"]), "counted": Counted()}
    offsets = {name: None if at is None else np.array(at) for name, at in wanted.items()}
    return list(stale_rows(dataset, number, {name: chosen[name] for name in wanted}, offsets))


def ids(tables: Sequence[pa.Table]) -> list[str]:
    return [id for table in tables for id in table["id"].to_pylist()]


def test_a_scorer_of_captions_reads_no_picture(dataset: lance.LanceDataset) -> None:
    [chunk] = chunks(dataset, counted=None)
    assert sorted(chunk.column_names) == ["_rowaddr", "_rowid", "id", "image_sha256", "messages"]


def test_a_scorer_of_pictures_gets_their_bytes_and_sizes(dataset: lance.LanceDataset) -> None:
    chunk = chunks(dataset, sharpness=None)[0]
    assert {"image", "width", "height"} <= set(chunk.column_names) and "messages" not in chunk.column_names
    assert chunk["image"][0].as_py().startswith(b"\xff\xd8")


def test_only_rows_that_somebody_wants_are_read_in_their_order(dataset: lance.LanceDataset) -> None:
    assert ids(chunks(dataset, 1, sharpness=[29, 3], counted=[3, 7])) == ["a/33", "a/37", "a/59"]
    assert len(ids(chunks(dataset, 1, sharpness=[3], counted=None))) == 30


@pytest.mark.parametrize(
    ("size", "rows"), [(None, 16), (30, 4096), (30 * 1024**2, 16), (30 * 98_304, 32), (30 * 512, 4096)]
)
def test_so_many_rows_at_a_time_as_their_mean_size_allows(size: int | None, rows: int) -> None:
    files = [SimpleNamespace(file_size_bytes=size)]
    fragment: Any = SimpleNamespace(data_files=lambda: files, physical_rows=30)
    assert reading._rows_at_a_time(cast(lance.LanceFragment, fragment)) == rows


def test_large_rows_come_in_pieces(dataset: lance.LanceDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "CHUNK_BYTES", 1)
    found = chunks(dataset, sharpness=None)
    assert [table.num_rows for table in found] == [16, 14] and ids(found) == [f"a/{at}" for at in range(30)]


def test_scorers_that_want_the_same_rows_share_a_pass(dataset: lance.LanceDataset) -> None:
    [chunk] = chunks(dataset, counted=None)
    two, all_ = np.array([1, 2]), None
    wanted = {"one": two, "other": two.copy(), "third": np.array([5]), "gone": np.array([99]), "whole": all_}
    found = [(names, table["id"].to_pylist()) for names, table in shares(chunk, wanted)]
    assert found[:2] == [(["one", "other"], ["a/1", "a/2"]), (["third"], ["a/5"])]
    assert [(names, len(rows)) for names, rows in found[2:]] == [(["whole"], 30)]
    assert [names for names, _ in shares(chunk, {"one": None, "other": None})] == [["one", "other"]]


def test_what_is_kept_of_rows_holds_no_memory_of_their_pictures(dataset: lance.LanceDataset) -> None:
    [chunk, *_] = chunks(dataset, sharpness=None, counted=None)
    kept = facts(chunk, [Counted(), scorers(["sharpness"])["sharpness"]])
    assert sorted(kept.column_names) == ["id", "image_sha256", "messages"]
    assert kept.to_pylist() == chunk.select(kept.column_names).to_pylist()
    assert not addresses(kept) & addresses(chunk), "columns of one batch of Lance are freed together"


def addresses(table: pa.Table) -> set[int]:
    parts = (chunk for column in table.columns for chunk in column.chunks)
    return {buffer.address for part in parts for buffer in part.buffers() if buffer is not None and buffer.size}


def test_a_served_scorer_gets_what_it_reads_and_the_sizes_of_pictures(dataset: lance.LanceDataset) -> None:
    [chunk, *_] = chunks(dataset, sharpness=None, counted=None)
    assert sorted(read_by(Counted(), chunk).column_names) == ["id", "messages"]
    assert sorted(read_by(Counted(fields=["image"]), chunk).column_names) == ["height", "id", "image", "width"]
