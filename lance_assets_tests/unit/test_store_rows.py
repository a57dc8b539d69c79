"""Caption rows end as image rows or as typed rejects, each exactly once and in order."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from lance_assets.ingest import batch as batch_module
from lance_assets.ingest.batch import store_rows
from lance_assets.ingest.captions import DEFAULT_CAPTION
from lance_assets.ingest.conversation import messages
from lance_assets.ingest.fetch import Fetcher
from lance_assets.ingest.limits import Limits
from lance_assets.ingest.outcome import Fetched
from lance_assets.ingest.rows import captions_table, row_id
from lance_assets.sources.base import RawRow, SourceFile
from lance_assets.store.schema import IMAGES, REJECTS
from lance_assets_tests.fault_server import FaultServer, jpeg

FILE = SourceFile("a.jsonl", "ab" * 32, 100)


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    with FaultServer() as server:
        yield server


def fetcher_for(server: FaultServer) -> Fetcher:
    return Fetcher(Limits(read_s=1, total_s=2, attempts=2, allow_hosts=frozenset({server.host})))


def table(rows: list[RawRow]) -> pa.Table:
    return captions_table("s", "", FILE, rows)


def test_good_rows_are_stored_and_bad_ones_rejected_with_reason(server: FaultServer) -> None:
    rows = [
        RawRow(0, server.url("color", 1), "one"),
        RawRow(1, server.url("404"), "two"),
        RawRow(2, None, "three"),
        RawRow(3, server.url("503"), "four"),
        RawRow(4, problem="line 5 of a.jsonl is not a JSON object"),
        RawRow(5, "data/local.jpg", "six"),
        RawRow(6, server.url("color", 6), None),
    ]
    with fetcher_for(server) as fetcher:
        [(stored, rejected)] = list(store_rows(table(rows), "s-abababab-0-7", fetcher))
    assert stored.schema.equals(IMAGES, check_metadata=True)
    assert rejected.schema.equals(REJECTS, check_metadata=True)
    first, last = stored.to_pylist()
    assert (first["id"], last["id"]) == (row_id("s", "a.jsonl", 0), row_id("s", "a.jsonl", 6))
    assert (first["image"], last["image"]) == (jpeg(96, 1), jpeg(96, 6))
    assert (first["width"], first["height"], first["format"]) == (96, 96, "JPEG")
    assert first["messages"] == messages("one") and last["messages"] == messages(DEFAULT_CAPTION)
    assert (first["caption_missing"], last["caption_missing"]) == (False, True)
    assert first["batch"] == "s-abababab-0-7" and first["is_placeholder"] is False
    found = {row["id"]: (row["reason"], row["transient"], row["attempts"]) for row in rejected.to_pylist()}
    assert found == {
        row_id("s", "a.jsonl", 1): ("http_404", False, 1),
        row_id("s", "a.jsonl", 2): ("missing_url", False, 0),
        row_id("s", "a.jsonl", 3): ("http_503", True, 2),
        row_id("s", "a.jsonl", 4): ("malformed_row", False, 0),
        row_id("s", "a.jsonl", 5): ("bad_url", False, 1),
    }
    assert all(row["first_time"] == row["last_time"] is not None for row in rejected.to_pylist())


def test_chunks_partition_the_rows_in_order(server: FaultServer) -> None:
    rows = [RawRow(n, server.url("color", n) if n % 5 else None, f"caption {n}") for n in range(23)]
    with fetcher_for(server) as fetcher:
        chunks = list(store_rows(table(rows), "b", fetcher, chunk=10, threads=4))
    assert [stored.num_rows + rejected.num_rows for stored, rejected in chunks] == [10, 10, 3]
    stored = [row["id"] for images, _ in chunks for row in images.to_pylist()]
    assert stored == [row_id("s", "a.jsonl", n) for n in range(23) if n % 5]
    assert sum(rejected.num_rows for _, rejected in chunks) == 5


def test_a_chunk_ends_early_when_its_images_are_big(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "CHUNK_BYTES", 2 * len(jpeg()) - 1)
    rows = [RawRow(n, server.url("ok", n), "x") for n in range(6)]
    with fetcher_for(server) as fetcher:
        chunks = list(store_rows(table(rows), "b", fetcher))
    assert [stored.num_rows for stored, _ in chunks] == [2, 2, 2]


def test_a_batch_without_rows_yields_nothing(server: FaultServer) -> None:
    with fetcher_for(server) as fetcher:
        assert list(store_rows(table([]), "b", fetcher)) == []


def test_a_fault_of_our_own_costs_one_row_and_is_logged(server: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Fetcher):
        def fetch(self, url: str) -> Fetched:
            if url.endswith("/3"):
                raise ZeroDivisionError("a bug")
            return super().fetch(url)

    rows = [RawRow(n, server.url("color", n), "x") for n in range(6)]
    with Broken(Limits(allow_hosts=frozenset({server.host}))) as fetcher:
        [(stored, rejected)] = list(store_rows(table(rows), "b", fetcher))
    assert stored.num_rows == 5
    [reject] = rejected.to_pylist()
    assert (reject["id"], reject["reason"]) == (row_id("s", "a.jsonl", 3), "internal_error")
    assert "ZeroDivisionError" in reject["detail"] and "ZeroDivisionError" in caplog.text
