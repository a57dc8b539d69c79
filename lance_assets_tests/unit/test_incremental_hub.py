"""A repository of the hub that changes: each kind of change leads to exactly the right batches, requests counted."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lance_assets.automation.planner import look
from lance_assets.compute.captions import Surveyed, collect
from lance_assets.partitions import Batch
from lance_assets.sources.base import Columns
from lance_assets.sources.modelscope import ModelScopeSource
from lance_assets.store.captions import footers, mark_settled, read_captions
from lance_assets.store.files import DataRoot
from lance_assets_tests.hub_server import hub_server

ROWS = 5


class Platform:
    """A repository with one shard per name, and the captions that were collected from it, 3 rows a batch."""

    def __init__(self, hub, folder):
        self.hub, self.cache, self.root = hub, folder / "cache", DataRoot(folder / "data")
        self.repo = hub.root / "ns" / folder.name
        self.repo.mkdir(parents=True)

    def publish(self, name, *captions):
        urls = [f"http://example.org/{name}/{n}.jpg" for n in range(len(captions))]
        table = pa.table({"opensource_url": urls, "global_caption": list(captions)})
        pq.write_table(table, self.repo / f"train-{name}.parquet")

    def source(self):
        return ModelScopeSource("ms", f"ns/{self.repo.name}", None, self.cache, Columns(), self.hub.endpoint)

    def look(self):
        """What a run would find now, as (shard, first row) of batches; the requests that it cost are then counted."""
        self.hub.forget()
        known = footers(self.root)
        return look(self.source(), known, known, 3, None)

    def collect(self, found):
        surveyed = Surveyed(self.source())
        for key in [*found.new, *found.changed]:
            collect(self.root, surveyed, key)
            mark_settled(self.root, key)

    def told(self, keys):
        paths = {key: footer.path for key, footer in footers(self.root).items()}
        return sorted((paths.get(key), Batch.parse(key).first) for key in keys)

    def fetched(self):
        return sorted({line["path"].partition("FilePath=")[2] for line in self.hub.requests("FilePath=train")})

    def listings(self):
        return len(self.hub.requests("/repo/tree"))


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with hub_server(tmp_path_factory.mktemp("hub")) as server:
        yield server


@pytest.fixture(scope="module")
def platform(hub, tmp_path_factory):
    platform = Platform(hub, tmp_path_factory.mktemp("platform"))
    for name in "abc":
        platform.publish(name, *(f"{name} {n}" for n in range(ROWS)))
    platform.collect(platform.look())
    return platform


def test_an_unchanged_repository_costs_one_listing_and_leads_to_nothing(platform):
    found = platform.look()
    assert (found.new, found.changed, found.gone) == ([], [], [])
    assert platform.listings() == 1 and platform.fetched() == []


def test_a_new_a_changed_and_a_removed_shard_lead_to_their_batches_alone(platform):
    before = {key: read_captions(platform.root, key) for key in footers(platform.root)}
    platform.publish("b", *(f"b {n}" for n in range(3)), "b 3 as it is now", "b 4")
    platform.publish("d", *(f"d {n}" for n in range(ROWS)))
    (platform.repo / "train-c.parquet").unlink()

    found = platform.look()
    assert platform.told(found.changed) == [("train-b.parquet", 3)], "the batch of its first three rows stays"
    assert [Batch.parse(key).first for key in found.new] == [0, 3]
    assert found.gone == ["train-c.parquet"]
    assert platform.fetched() == ["train-b.parquet", "train-d.parquet"]
    assert platform.listings() == 1 + 2, "one of ours, and one that MsDataset.load makes for each shard"

    platform.collect(found)
    after = {key: read_captions(platform.root, key) for key in footers(platform.root)}
    assert platform.told(set(after) - set(before)) == [("train-d.parquet", 0), ("train-d.parquet", 3)]
    assert [key for key in before if not after[key].equals(before[key])] == found.changed
    assert after[found.changed[0]]["caption"].to_pylist() == ["b 3 as it is now", "b 4"]
    assert after[found.changed[0]]["id"].equals(before[found.changed[0]]["id"])

    again = platform.look()
    assert (again.new, again.changed) == ([], []) and platform.fetched() == []


def test_a_shard_that_grew_adds_its_new_rows_and_no_more(platform):
    platform.publish("a", *(f"a {n}" for n in range(ROWS + 2)))
    found = platform.look()
    assert found.changed == [] and [(Batch.parse(key).first, Batch.parse(key).end) for key in found.new] == [(5, 7)]
    assert platform.fetched() == ["train-a.parquet"]
