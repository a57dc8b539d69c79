"""Caption rows end as image rows or as typed rejects, each exactly once and in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from lance_assets.ingest import batch as batch_module
from lance_assets.ingest import hops
from lance_assets.ingest.batch import Chunk, store_rows
from lance_assets.ingest.captions import DEFAULT_CAPTION
from lance_assets.ingest.conversation import messages
from lance_assets.ingest.fetch import Fetcher
from lance_assets.ingest.landing import Landing
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.pictures import Pictures
from lance_assets.ingest.rows import captions_table, row_id
from lance_assets.sources.base import RawRow, SourceFile
from lance_assets.store.schema import IMAGES, REJECTS
from lance_assets_tests.fault_server import FaultServer, jpeg

FILE = SourceFile("a.jsonl", "ab" * 32, 100)
Store = Callable[..., list[Chunk]]


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def fetcher_for(server: FaultServer) -> Fetcher:
    return Fetcher(Limits(read_s=1, total_s=2, attempts=2, allow_hosts=frozenset({server.host})))


def table(rows: list[RawRow]) -> pa.Table:
    """Captions of which every image is to be loaded."""
    captions = captions_table("s", "", FILE, rows)
    load = captions.append_column("load", pa.array([True] * len(rows), pa.bool_()))
    return load.append_column("address", pa.nulls(len(rows), pa.uint64()))


@pytest.fixture
def stored_as(server: FaultServer, tmp_path: Path) -> Iterator[Callable[..., list[Chunk]]]:
    """Stores rows as batch `b` with a fetcher of its own."""

    def store(rows: list[RawRow], fetcher: Fetcher | None = None, **options: Any) -> list[Chunk]:
        with fetcher or fetcher_for(server) as ready, Landing(tmp_path, "0") as landing:
            return list(store_rows(table(rows), "b", Pictures(ready, landing, threads=4), **options))

    yield store


def test_good_rows_are_stored_and_bad_ones_rejected_with_reason(server: FaultServer, stored_as: Store) -> None:
    rows = [
        RawRow(0, server.url("color", 1), "one"),
        RawRow(1, server.url("404"), "two"),
        RawRow(2, None, "three"),
        RawRow(3, server.url("503"), "four"),
        RawRow(4, problem="line 5 of a.jsonl is not a JSON object"),
        RawRow(5, "data/local.jpg", "six"),
        RawRow(6, server.url("color", 6), None),
    ]
    [chunk] = stored_as(rows)
    stored, rejected = chunk.stored, chunk.rejects
    assert stored.schema.equals(IMAGES, check_metadata=True)
    assert rejected.schema.equals(REJECTS, check_metadata=True)
    first, last = stored.to_pylist()
    assert (first["id"], last["id"]) == (row_id("s", "a.jsonl", 0), row_id("s", "a.jsonl", 6))
    assert (first["image"], last["image"]) == (jpeg(96, 1), jpeg(96, 6))
    assert (first["width"], first["height"], first["format"]) == (96, 96, "JPEG")
    assert first["messages"] == messages("one") and last["messages"] == messages(DEFAULT_CAPTION)
    assert (first["caption_missing"], last["caption_missing"]) == (False, True)
    assert first["batch"] == "b" and first["is_placeholder"] is False
    found = {row["id"]: (row["reason"], row["transient"], row["attempts"]) for row in rejected.to_pylist()}
    assert found == {
        row_id("s", "a.jsonl", 1): ("http_404", False, 1),
        row_id("s", "a.jsonl", 2): ("missing_url", False, 0),
        row_id("s", "a.jsonl", 3): ("http_503", True, 2),
        row_id("s", "a.jsonl", 4): ("malformed_row", False, 0),
        row_id("s", "a.jsonl", 5): ("path_not_allowed", False, 1),
    }
    assert all(row["first_time"] == row["last_time"] is not None for row in rejected.to_pylist())


def test_what_servers_said_is_kept_for_each_row_that_was_asked_for(server: FaultServer, stored_as: Store) -> None:
    rows = [RawRow(0, server.url("color", 1), "one", licence="CC0"), RawRow(1, server.url("404"), "two"), RawRow(2)]
    [chunk] = stored_as(rows)
    first, second = chunk.rights.to_pylist()
    assert (first["url"], first["final_url"], first["status"]) == (rows[0].image, rows[0].image, 200)
    assert (first["licence"], first["reason"], first["opt_out"]) == ("CC0", None, None)
    assert (second["status"], second["reason"], second["final_url"]) == (404, "http_404", None)


def test_chunks_partition_the_rows_in_order(server: FaultServer, stored_as: Store) -> None:
    rows = [RawRow(n, server.url("color", n) if n % 5 else None, f"caption {n}") for n in range(23)]
    chunks = stored_as(rows, chunk=10)
    assert [chunk.stored.num_rows + chunk.rejects.num_rows for chunk in chunks] == [10, 10, 3]
    stored = [row["id"] for chunk in chunks for row in chunk.stored.to_pylist()]
    assert stored == [row_id("s", "a.jsonl", n) for n in range(23) if n % 5]
    assert sum(chunk.rejects.num_rows for chunk in chunks) == 5


def test_a_chunk_ends_early_when_its_images_are_big(
    server: FaultServer, stored_as: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_module, "CHUNK_BYTES", 2 * len(jpeg()) - 1)
    chunks = stored_as([RawRow(n, server.url("ok", n), "x") for n in range(6)])
    assert [chunk.stored.num_rows for chunk in chunks] == [2, 2, 2]


def test_a_batch_without_rows_yields_nothing(stored_as: Store) -> None:
    assert stored_as([]) == []


def test_rows_that_share_a_url_fetch_it_once(stored_as: Store) -> None:
    with FaultServer() as server:
        shared = [RawRow(n, server.url("color", n % 2), f"caption {n}") for n in range(8)]
        shared += [RawRow(8 + n, server.url("404"), "gone") for n in range(2)]
        shared += [RawRow(10 + n, server.url("503"), "busy") for n in range(2)]
        [chunk] = stored_as(shared, fetcher_for(server))
        asked = Counter(path for path, _ in server.requests if "robots" not in path)
    assert [row["image"] for row in chunk.stored.to_pylist()] == [jpeg(96, n % 2) for n in range(8)]
    assert [row["reason"] for row in chunk.rejects.to_pylist()] == ["http_404"] * 2 + ["http_503"] * 2
    assert asked == {"/color/0": 1, "/color/1": 1, "/404/0": 1, "/503/0": 2}


def test_what_had_landed_is_not_fetched_again(stored_as: Store) -> None:
    with FaultServer() as server:
        rows = [RawRow(0, server.url("color", 1), "one"), RawRow(1, server.url("404"), "gone")]
        once = stored_as(rows, fetcher_for(server))
        before = len(server.requests)
        again = stored_as(rows, fetcher_for(server))
        assert len(server.requests) == before
    assert [chunk.stored.to_pylist() for chunk in again] == [chunk.stored.to_pylist() for chunk in once]
    assert [row["reason"] for row in again[0].rejects.to_pylist()] == ["http_404"]


def test_a_placeholder_is_grey_and_marked_and_its_reason_is_kept(server: FaultServer, stored_as: Store) -> None:
    rows = [RawRow(0, server.url("404"), "gone"), RawRow(1, None, "no URL")]
    [chunk] = stored_as(rows, placeholder=True)
    [stored], [reject], [right] = (some.to_pylist() for some in (chunk.stored, chunk.rejects, chunk.rights))
    with Image.open(BytesIO(stored["image"]), formats=["PNG"]) as image:
        assert image.size == (stored["width"], stored["height"]) and image.getcolors() == [(224 * 224, (128,) * 3)]
    assert stored["is_placeholder"] and right["reason"] == "http_404"
    assert reject["reason"] == "missing_url"


def test_a_row_whose_new_image_cannot_be_had_keeps_the_stored_one(server: FaultServer, stored_as: Store) -> None:
    [[chunk]] = [stored_as([RawRow(0, server.url("color", 1), "one")])]
    [old] = chunk.stored.to_pylist()
    rows = table([RawRow(0, server.url("404"), "new words")])
    rows = rows.set_column(rows.schema.names.index("address"), "address", pa.array([7], pa.uint64()))
    with fetcher_for(server) as fetcher, Landing(Path(mkdtemp()), "0") as landing:
        [again] = store_rows(rows, "b", Pictures(fetcher, landing), lambda addresses: {7: old})
    assert again.stored.to_pylist() == [old] and again.kept == 1 and again.rejects.num_rows == 0
    assert again.rights["reason"].to_pylist() == ["http_404"]


def test_a_fault_of_our_own_costs_one_row_and_is_logged(
    server: FaultServer, stored_as: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = hops.fetched

    def checked(data: bytes, limits: Limits, **facts: Any) -> Any:
        if data == jpeg(96, 3):
            raise ZeroDivisionError("a bug")
        return plain(data, limits, **facts)

    monkeypatch.setattr(hops, "fetched", checked)
    [chunk] = stored_as([RawRow(n, server.url("color", n), "x") for n in range(6)])
    assert chunk.stored.num_rows == 5
    [reject] = chunk.rejects.to_pylist()
    assert (reject["id"], reject["reason"]) == (row_id("s", "a.jsonl", 3), "internal_error")
    assert "ZeroDivisionError" in reject["detail"] and "ZeroDivisionError" in caplog.text
