"""The layouts of the SA1B caption sets, from the stand-in of the hub to the table captions/<batch>.parquet."""

from __future__ import annotations

import csv

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lance_assets.ingest.rows import captions_table
from lance_assets.sources.base import Columns
from lance_assets.sources.modelscope import ModelScopeSource
from lance_assets_tests.hub_server import hub_server

URL = "https://example.org/open_data/sa-1b-cot-qwen/sa_{}.jpg"
LONG = "很" * 150_000
"""More characters than csv takes in one cell by default."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with hub_server(tmp_path_factory.mktemp("hub")) as server:
        yield server


def table(hub, name, cache):
    opened = ModelScopeSource("ms", f"ns/{name}", None, cache, Columns(), hub.endpoint)
    (file,) = opened.files()
    return captions_table("ms", opened.revision, file, opened.read(file, 0, file.rows)), opened, file


def paired(hub, name, urls, kind):
    """A parquet shard like those of SA1B-Paired-Captions-Images; its name keeps it off MsDataset.load, for speed."""
    folder = hub.root / "ns" / name
    folder.mkdir(parents=True)
    columns = {
        "opensource_url": pa.array(urls, kind),
        "global_caption": ["一只猫", "", "一条狗"],
        "matched_local_urls": [[URL.format("1_0"), URL.format("1_1")], [], None],
    }
    pq.write_table(pa.table(columns), folder / "train-[0000].parquet", row_group_size=2)


def test_paired_captions_give_the_full_image_and_the_crops_change_nothing(hub, tmp_path):
    paired(hub, "paired", [URL.format(n) for n in range(3)], pa.string())
    rows, _, file = table(hub, "paired", tmp_path)
    assert rows["image_url"].to_pylist() == [URL.format(n) for n in range(3)]
    assert rows["caption"].to_pylist() == ["一只猫", "An image.", "一条狗"]
    assert rows["caption_missing"].to_pylist() == [False, True, False]
    assert rows["row_in_file"].to_pylist() == [0, 1, 2]
    assert rows["problem"].null_count == 3
    assert set(rows["source_sha256"].to_pylist()) == {file.sha256}


def test_paired_captions_with_path_and_bytes_give_url_or_stored_picture(hub, tmp_path):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    cells = [{"bytes": None, "path": URL.format(0)}, {"bytes": b"jpeg", "path": "sa_1.jpg"}, None]
    paired(hub, "stored", cells, kind)
    rows, opened, file = table(hub, "stored", tmp_path)
    assert rows["image_url"].to_pylist() == [URL.format(0), None, None]
    assert rows["problem"].to_pylist() == [None, None, "missing_url"]
    assert list(opened.images(file, [0, 1, 2])) == [None, b"jpeg", None]


def test_dense_captions_are_found_in_a_dict_that_is_written_as_a_string_in_a_csv(hub, tmp_path):
    folder = hub.root / "ns" / "dense"
    folder.mkdir(parents=True)
    cells = [{"global_caption": '一只猫, "看" 窗外\n第二行', "local": [{"bbox": [1, 2]}]}, {"global_caption": "7"}]
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as body:
        writer = csv.writer(body)
        writer.writerow(["url", "cap_seg"])
        writer.writerows([URL.format(n), repr(cell)] for n, cell in enumerate(cells))
        writer.writerow([URL.format(2), repr({"global_caption": "big", "local": LONG})])
        writer.writerow([URL.format(3), "NA"])
        body.write("one field only\n")
        writer.writerow([URL.format(5), "None"])
    rows, opened, file = table(hub, "dense", tmp_path)
    assert rows["caption"].to_pylist() == [cells[0]["global_caption"], "7", "big", "NA", "An image.", "None"]
    assert rows["image_url"].to_pylist() == [URL.format(n) if n != 4 else None for n in range(6)]
    assert rows["problem"].to_pylist() == [None] * 4 + ["malformed_row", None]
    assert "has 1 fields, but the header has 2" in rows["detail"][4].as_py()
    assert [row.row for row in opened.read(file, 3, 5)] == [3, 4]


def test_rows_of_text_are_read_from_the_middle_without_reading_those_before(hub, tmp_path):
    folder = hub.root / "ns" / "long"
    folder.mkdir(parents=True)
    lines = [f'{{"url": "{URL.format(n)}", "caption": "row {n}"}}\n' for n in range(2500)]
    (folder / "train.jsonl").write_text("".join([*lines[:1500], "broken\n", *lines[1501:]]))
    opened = ModelScopeSource("ms", "ns/long", None, tmp_path, Columns(), hub.endpoint)
    (file,) = opened.files()
    with pq.ParquetFile(next(tmp_path.glob("*.cells.parquet"))) as kept:
        assert [kept.metadata.row_group(n).num_rows for n in range(3)] == [1000, 1000, 500]
    rows = list(opened.read(file, 1498, 2002))
    assert [row.row for row in rows] == list(range(1498, 2002))
    assert (rows[0].caption, rows[2].caption, rows[-1].caption) == ("row 1498", None, "row 2001")
    assert "line 1501 of train.jsonl is not a JSON object" in (rows[2].problem or "")
