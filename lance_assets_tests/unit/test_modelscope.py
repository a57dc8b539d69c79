"""The real SDK against the loopback stand-in of the hub: MsDataset.load in its child process, nothing replaced."""

from __future__ import annotations

import hashlib
import json
import sys
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lance_assets.errors import BadInput
from lance_assets.sources.base import Columns
from lance_assets.sources.modelscope import ModelScopeSource
from lance_assets_tests.hub_server import Fault, Proxy, hub_server, running

URLS = [f"http://example.org/{n}.jpg" for n in range(5)]
CAPTIONS = ["a cat", "a dog", "", None, "多语种"]
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_repositories(hub):
    """ns/set: two parquet shards of train, a csv of test; ns/images: stored images; ns/whole: json in a zip."""
    train = hub / "ns" / "set" / "data"
    train.mkdir(parents=True)
    table = pa.table({"opensource_url": URLS, "global_caption": CAPTIONS})
    pq.write_table(table, train / "train-0000.parquet")
    pq.write_table(table.slice(0, 2), train / "train-0001.parquet")
    (train / "test.csv").write_text(f"image_url,caption\n{URLS[0]},from a csv\n")
    (hub / "ns" / "images").mkdir()
    image = pa.array([{"bytes": b"abc", "path": "x.jpg"}, {"bytes": b"de", "path": None}], IMAGE)
    pq.write_table(pa.table({"image": image, "text": ["stored", "too"]}), hub / "ns" / "images" / "shard.parquet")
    front = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: shard.parquet\n---\n"
    (hub / "ns" / "images" / "README.md").write_text(front)
    (hub / "ns" / "whole").mkdir()
    with zipfile.ZipFile(hub / "ns" / "whole" / "train.zip", "w") as packed:
        packed.writestr("rows.json", json.dumps([{"url": url, "text": f"row {n}"} for n, url in enumerate(URLS)]))


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    write_repositories(folder / "hub")
    with hub_server(folder) as server:
        yield server


@pytest.fixture(scope="module")
def proxy():
    """The only way to the network that the SDK has besides the hub; it refuses."""
    with running(Proxy()) as server, pytest.MonkeyPatch.context() as patch:
        assert isinstance(server, Proxy)
        patch.delenv("MODELSCOPE_ENDPOINT", raising=False)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
            patch.setenv(name, server.address)
        yield server


@pytest.fixture(autouse=True)
def nobody_but_the_endpoint_is_asked(hub, proxy):
    """The trap of the SDK that every test here checks."""
    hub.forget()
    yield
    assert proxy.wanted == []


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def loaded(hub, cache, proxy):
    """The files of the train split of ns/set, loaded into the cache, and what the hub was asked for."""
    hub.forget()
    files = list(source(hub, cache).files())
    return files, hub.requests()


def source(hub, cache, repo="ns/set", revision=None, **more):
    return ModelScopeSource("ms", repo, revision, cache, more.pop("columns", Columns()), hub.endpoint, **more)


def test_the_files_of_a_split_come_in_order_with_digest_and_rows(hub, loaded):
    files = loaded[0]
    assert [(file.path[5:], file.rows) for file in files] == [("train-0000.parquet", 5), ("train-0001.parquet", 2)]
    body = (hub.root / "ns" / "set" / "data" / "train-0000.parquet").read_bytes()
    assert files[0].sha256 == hashlib.sha256(body).hexdigest()


def test_a_small_set_is_loaded_by_msdataset_load(loaded):
    asked = [line["path"] for line in loaded[1]]
    assert sum("Source=SDK" in path and "train-000" in path for path in asked) == 4  # HEAD and GET of each
    assert sum(path.endswith("/download/increase") for path in asked) == 2


def test_nothing_of_the_sdk_gets_into_this_process(loaded):
    assert not any(name.partition(".")[0] in ("modelscope", "modelscope_hub") for name in sys.modules)


def test_rows_are_read_as_they_came(hub, cache, loaded):
    rows = list(source(hub, cache).read(loaded[0][0], 1, 5))
    assert [row.row for row in rows] == [1, 2, 3, 4]
    assert [(row.image, row.caption) for row in rows] == list(zip(URLS, CAPTIONS, strict=True))[1:]


def test_rows_beyond_the_end_are_refused(hub, cache, loaded):
    with pytest.raises(BadInput, match=r"has 5 rows: there are no rows \[4, 6\)"):
        list(source(hub, cache).read(loaded[0][0], 4, 6))


def test_a_cached_set_costs_one_listing_and_no_download(hub, cache, loaded):
    again = source(hub, cache)
    assert list(again.files()) == loaded[0]
    assert again.listing() == {file.path: file.sha256 for file in loaded[0]}
    assert again.file("data/train-0001.parquet") == loaded[0][1]
    (line,) = hub.requests()
    assert "/repo/tree?" in line["path"]


def test_an_unknown_column_is_named_with_the_columns_there_are(hub, cache, loaded):
    with pytest.raises(BadInput, match=r"train-0000.parquet of ns/set has no column 'story'.*global_caption"):
        list(source(hub, cache, columns=Columns(caption="story")).files())


def test_stored_images_are_read_and_a_changed_and_a_new_shard_are_seen_by_the_same_process(hub, tmp_path):
    """The SDK's cache would give the old file under the same name, and its list of files would lack the new one."""
    images = source(hub, tmp_path, "ns/images")
    (file,) = images.files()
    rows = list(images.read(file, 0, 2))
    assert [(row.caption, row.embedded, row.image) for row in rows] == [("stored", True, None), ("too", True, None)]
    assert list(images.images(file, [0, 1])) == [b"abc", b"de"]

    folder = hub.root / "ns" / "images"
    for name, text in (("shard", "changed"), ("shard-2", "new")):
        cell = pa.array([{"bytes": text.encode(), "path": None}], IMAGE)
        pq.write_table(pa.table({"image": cell, "text": [text]}), folder / f"{name}.parquet")
    (folder / "README.md").write_text((folder / "README.md").read_text().replace("shard.parquet", "'*.parquet'"))
    after = list(images.files())
    assert [file.rows for file in after] == [1, 1]
    assert [next(images.read(file, 0, 1)).caption for file in after] == ["new", "changed"]
    assert [next(images.images(file, [0])) for file in after] == [b"new", b"changed"]


def test_a_set_of_other_files_is_loaded_whole_also_by_a_hub_that_falters(hub, tmp_path):
    """A failing list of files inside the SDK would pass for a short one, an error page for the file."""
    hub.faults = [Fault("&Root=", "status", 403), Fault("FilePath=train.zip", "status", 500)]
    whole = source(hub, tmp_path, "ns/whole")
    (file,) = whole.files()
    assert (file.path, file.rows) == ("default/train", 5)
    assert [(row.image, row.caption) for row in whole.read(file, 3, 5)] == [(URLS[3], "row 3"), (URLS[4], "row 4")]
    assert [fault.times for fault in hub.faults] == [0, 0]
    hub.forget()
    assert list(source(hub, tmp_path, "ns/whole").files()) == [file]
    assert len(hub.requests()) == 1


def test_a_damaged_file_is_not_kept_by_msdataset_load_either(hub, tmp_path):
    hub.faults = [Fault("train-0000.parquet", "flip", 6, 3)]
    with pytest.raises(BadInput, match=r"data/train-0000.parquet of ns/set was damaged on its way"):
        list(source(hub, tmp_path).files())
    assert list(tmp_path.glob("*.parquet")) == []
