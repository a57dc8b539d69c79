"""The demo as the platform meets it: a source with files, rows and images behind URLs."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from lance_assets.sources.demo.servers import DemoServers
from lance_assets.sources.demo.source import DemoSource

ROWS = 85


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


def demo(home, rows):
    return DemoSource("demo", home / "demo", rows, 0, home / "cache", shard_rows=ROWS)


@pytest.fixture(scope="module")
def files(home):
    return list(demo(home, 10).files())


def test_files_are_whole_shards_and_the_servers_are_gone_afterwards(home, files):
    assert [(file.path, file.rows) for file in files] == [("data/train-0000.parquet", ROWS)]
    assert not DemoServers(home / "demo").alive()


def test_rows_need_no_server_and_point_at_images_that_serving_serves(home, files):
    source = demo(home, 10)
    row, missing = (next(source.read(files[0], n, n + 1)) for n in (0, 17))
    assert row.caption.startswith("The player ")
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(row.image, timeout=5)
    with source.serving(), source.serving():
        assert urllib.request.urlopen(row.image, timeout=5).read(2) == b"\xff\xd8"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(missing.image, timeout=5)


def test_a_caller_that_stops_early_leaves_no_server_behind(home, files):
    listing = demo(home, 10).files()
    assert next(listing) == files[0]
    assert DemoServers(home / "demo").alive()
    listing.close()
    assert not DemoServers(home / "demo").alive()


def test_more_rows_load_only_the_new_shard(home, files):
    def loads():
        lines = (home / "demo" / "hub_requests.jsonl").read_text().splitlines()
        return [json.loads(line)["path"] for line in lines if "parquet" in line]

    before = len(loads())
    more = list(demo(home, ROWS + 1).files())
    assert more[0] == files[0]
    assert [file.path for file in more[1:]] == ["data/train-0001.parquet"]
    assert loads()[before:] != []
    assert all("train-0001" in path for path in loads()[before:])
