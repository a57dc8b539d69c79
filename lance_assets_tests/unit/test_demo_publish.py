"""Publishing adds whole shards, the same bytes each time, with faults and spoilt captions where it says."""

from __future__ import annotations

import hashlib
import json

import pyarrow.parquet as pq
import pytest

from lance_assets.errors import BadInput
from lance_assets.sources.demo.captions import SPOILT_KINDS
from lance_assets.sources.demo.publish import FAULT_ROWS, REPOSITORY, publish

ROWS = 85


def digests(folder):
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.*")}


def shards(folder):
    return sorted((folder / "hub" / REPOSITORY / "data").iterdir())


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("at_once")
    publish(folder, 2 * ROWS, 0, 20000, shard_rows=ROWS)
    return folder


class Killed(Exception):
    """Ends a publication as a kill would: between two steps of its work."""


@pytest.fixture(scope="module")
def in_steps(tmp_path_factory):
    """The folder after a killed run and two whole ones, the shards after the killed, the digests after the next."""
    folder = tmp_path_factory.mktemp("in_steps")

    def die(said):
        raise Killed(said)

    with pytest.raises(Killed, match="50 of"):
        publish(folder, 1, 0, 20000, die, shard_rows=ROWS)
    after_kill = shards(folder)
    publish(folder, 1, 0, 20000, shard_rows=ROWS)
    before = digests(folder)
    publish(folder, ROWS + 1, 0, 20000, shard_rows=ROWS)
    return folder, after_kill, before


def test_the_same_seed_and_port_give_the_same_bytes_at_once_or_in_steps_of_which_one_was_killed(at_once, in_steps):
    assert digests(at_once) == digests(in_steps[0])


def test_more_rows_add_whole_shards_and_touch_no_published_one(in_steps):
    folder, _, before = in_steps
    after = digests(folder)
    assert [path.name for path in shards(folder)] == ["train-0000.parquet", "train-0001.parquet"]
    assert [pq.read_metadata(path).num_rows for path in shards(folder)] == [ROWS, ROWS]
    kept = {name for name in before if name.endswith((".parquet", ".jpg"))}
    assert len(kept) == 1 + ROWS
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


def test_nothing_is_played_again_where_the_rows_are_there(at_once):
    said = []
    publish(at_once, 2 * ROWS, 0, 20000, said.append, shard_rows=ROWS)
    assert said == []


def test_a_shard_has_the_layout_of_the_real_data_set(at_once):
    rows = pq.read_table(shards(at_once)[1]).to_pylist()
    assert list(rows[0]) == ["opensource_url", "global_caption", "matched_local_urls"]
    assert rows[3]["opensource_url"] == "http://127.0.0.1:20000/images/000088.jpg"
    assert all((at_once / "images" / row["opensource_url"].rsplit("/", 1)[1]).is_file() for row in rows)


def test_every_shard_has_each_fault_and_six_percent_spoilt_captions_all_on_record(at_once):
    records = [json.loads(line) for line in (at_once / "planted.jsonl").read_text().splitlines()]
    captions = [row for path in shards(at_once) for row in pq.read_table(path)["global_caption"].to_pylist()]
    for shard in range(2):
        mine = [record for record in records if record["row"] // ROWS == shard]
        assert {r["row"] - shard * ROWS: r["kind"] for r in mine if "image" in r} == FAULT_ROWS
        spoilt = [r for r in mine if "caption" in r]
        assert len(spoilt) == 5
        assert {r["kind"] for r in spoilt} <= set(SPOILT_KINDS)
        assert all(captions[r["row"]] == r["caption"] != r["true_caption"] for r in spoilt)
    assert len({record["row"] for record in records}) == len(records)


def test_a_killed_run_publishes_no_shard(in_steps):
    assert in_steps[1] == []


@pytest.mark.parametrize(("seed", "port"), [(1, 20000), (0, 20001)])
def test_another_seed_or_port_in_the_same_folder_is_refused(at_once, seed, port):
    with pytest.raises(BadInput, match="use a fresh home"):
        publish(at_once, 3 * ROWS, seed, port, shard_rows=ROWS)


def test_no_rows_are_refused(tmp_path):
    with pytest.raises(BadInput, match="at least 1 row"):
        publish(tmp_path, 0, 0, 20000)
