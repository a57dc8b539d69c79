"""The real SDK against the loopback stand-in of the hub: MsDataset.load in its child process, nothing replaced."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import socket
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lance_assets.errors import BadInput
from lance_assets.sources.base import Columns
from lance_assets.sources.demo.hub import HubServer
from lance_assets.sources.modelscope import ModelScopeSource, files_of_split

URLS = [f"http://example.org/{n}.jpg" for n in range(5)]
CAPTIONS = ["a cat", "a dog", "", None, "多语种"]


def write_repositories(hub):
    """ns/set: a parquet and a jsonl shard of train, a csv of test; ns/images: stored images; ns/damaged: see below."""
    train = hub / "ns" / "set" / "data"
    train.mkdir(parents=True)
    pq.write_table(pa.table({"opensource_url": URLS, "global_caption": CAPTIONS}), train / "train-0000.parquet")
    rows = [{"url": url, "cap_seg": {"global_caption": f"jsonl {n}"}} for n, url in enumerate(URLS)]
    (train / "train-0001.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with (train / "test.csv").open("w", newline="") as body:
        csv.writer(body).writerows([("image_url", "caption"), (URLS[0], "from a csv")])
    (hub / "ns" / "images").mkdir()
    image = pa.array([{"bytes": b"abc", "path": "x.jpg"}], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    pq.write_table(pa.table({"image": image, "text": ["stored"]}), hub / "ns" / "images" / "shard.parquet")
    front = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: shard.parquet\n---\n"
    (hub / "ns" / "images" / "README.md").write_text(front)
    (hub / "ns" / "damaged").mkdir()
    (hub / "ns" / "damaged" / "train.jsonl").write_text('{"url": "http://example.org/1.jpg", "caption": "one"}\n')


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    write_repositories(folder / "hub")
    server = HubServer(0, folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def endpoint(server):
    return f"http://127.0.0.1:{server.server_address[1]}"


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def loaded(hub, cache):
    """The train split of ns/set, loaded into the cache, and its files."""
    source = ModelScopeSource("ms", "ns/set", None, cache, Columns(), endpoint(hub))
    return source, list(source.files())


def asked(server, part):
    lines = (server.demo_dir / "hub_requests.jsonl").read_text().splitlines()
    return sum(part in json.loads(line)["path"] for line in lines)


def test_the_files_of_a_split_come_in_order_with_digest_and_rows(hub, loaded):
    _, files = loaded
    assert [(file.path, file.rows) for file in files] == [("data/train-0000.parquet", 5), ("data/train-0001.jsonl", 5)]
    body = (hub.root / "ns" / "set" / "data" / "train-0000.parquet").read_bytes()
    assert files[0].sha256 == hashlib.sha256(body).hexdigest()


def test_rows_are_read_as_they_came(loaded):
    source, (parquet, jsonl) = loaded
    rows = list(source.read(parquet, 1, 5))
    assert [row.row for row in rows] == [1, 2, 3, 4]
    assert [(row.image, row.caption) for row in rows] == list(zip(URLS, CAPTIONS, strict=True))[1:]
    assert next(source.read(jsonl, 3, 4)).caption == {"global_caption": "jsonl 3"}


def test_rows_beyond_the_end_are_refused(loaded):
    source, (parquet, _) = loaded
    with pytest.raises(BadInput, match=r"has 5 rows: there are no rows \[4, 6\)"):
        list(source.read(parquet, 4, 6))


def test_a_cached_shard_is_listed_again_but_not_loaded_again(hub, cache, loaded):
    before = asked(hub, "/repo/tree"), asked(hub, "FilePath")
    again = ModelScopeSource("ms", "ns/set", None, cache, Columns(), endpoint(hub))
    assert list(again.files()) == loaded[1]
    assert (asked(hub, "/repo/tree"), asked(hub, "FilePath")) == (before[0] + 1, before[1])


def test_cached_rows_need_no_hub(cache, loaded):
    away = ModelScopeSource("ms", "ns/set", None, cache, Columns(), "http://127.0.0.1:9")
    assert len(list(away.read(loaded[1][0], 0, 5))) == 5


def test_an_unknown_column_is_named_with_the_columns_there_are(hub, cache, loaded):
    source = ModelScopeSource("ms", "ns/set", None, cache, Columns(caption="story"), endpoint(hub))
    with pytest.raises(BadInput, match=r"train-0000.parquet of ns/set has no column 'story'.*global_caption"):
        list(source.files())


def test_stored_images_come_as_bytes_and_path_also_where_the_readme_names_the_files(hub, tmp_path):
    source = ModelScopeSource("ms", "ns/images", None, tmp_path, Columns(), endpoint(hub))
    (file,) = source.files()
    (row,) = source.read(file, 0, 1)
    assert (row.image, row.caption) == ({"bytes": b"abc", "path": "x.jpg"}, "stored")


def test_a_file_that_differs_from_its_listed_digest_is_refused_and_not_kept(hub, tmp_path):
    path = hub.root / "ns" / "damaged" / "train.jsonl"
    stat = path.stat()
    hub.digest(path)  # the hub keeps the digest of this content, size and time
    path.write_bytes(path.read_bytes().replace(b"one", b"two"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    source = ModelScopeSource("ms", "ns/damaged", None, tmp_path, Columns(), endpoint(hub))
    with pytest.raises(BadInput, match=r"train.jsonl of ns/damaged was damaged on its way"):
        list(source.files())
    assert list(tmp_path.glob("*.parquet")) == []


def test_a_missing_repository_is_named(hub, tmp_path):
    source = ModelScopeSource("ms", "ns/nothing", None, tmp_path, Columns(), endpoint(hub))
    with pytest.raises(BadInput, match="has no data set ns/nothing at revision master"):
        list(source.files())


def test_a_missing_revision_is_named(hub, tmp_path):
    source = ModelScopeSource("ms", "ns/set", "v9", tmp_path, Columns(), endpoint(hub))
    with pytest.raises(BadInput, match="ns/set at revision v9"):
        list(source.files())


def test_a_missing_split_is_named_with_the_files_there_are(hub, tmp_path):
    source = ModelScopeSource("ms", "ns/set", None, tmp_path, Columns(), endpoint(hub), split="validation")
    with pytest.raises(BadInput, match=r"has no split 'validation'; it holds: data/test.csv, data/train-0000.parquet"):
        list(source.files())


def test_an_endpoint_that_refuses_connections_is_named(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
        source = ModelScopeSource("ms", "ns/set", None, tmp_path, Columns(), address)
        with pytest.raises(BadInput, match=f"the ModelScope hub at {address} cannot be reached"):
            list(source.files())


@pytest.mark.parametrize(
    ("paths", "split", "chosen"),
    [
        (["b.parquet", "a.csv", "README.md"], "train", ["a.csv", "b.parquet"]),
        (["train-0000-of-0013.parquet", "test-0.parquet"], "train", ["train-0000-of-0013.parquet"]),
        (["data/train/0.jsonl", "data/val/0.jsonl"], "validation", ["data/val/0.jsonl"]),
        (["train/test.csv"], "test", ["train/test.csv"]),
        (["training2.csv", "strain.csv"], "train", ["training2.csv"]),
        (["a.parquet"], "test", []),
        (["holdout/a.parquet"], "holdout", ["holdout/a.parquet"]),
    ],
)
def test_a_split_is_found_by_the_words_in_file_and_folder_names(paths, split, chosen):
    assert files_of_split(paths, split) == chosen
