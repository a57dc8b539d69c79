"""What a second look at a repository costs: the real SDK against the stand-in of the hub, its requests counted."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lance_assets.errors import BadInput
from lance_assets.sources import modelscope_fetch, progress
from lance_assets.sources.base import Columns
from lance_assets.sources.modelscope import ModelScopeSource
from lance_assets_tests.hub_server import Fault, hub_server

BIG = 3_000_000
"""Bytes of a shard that is worth resuming here."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with hub_server(tmp_path_factory.mktemp("hub")) as server:
        yield server


@pytest.fixture
def repo(hub, tmp_path):
    """An empty repository of its own, the folder that the hub serves it from."""
    hub.forget()
    folder = hub.root / "ns" / tmp_path.name.replace("[", "").replace("]", "")
    folder.mkdir(parents=True)
    return folder


def source(hub, repo, cache, revision=None):
    return ModelScopeSource("ms", f"ns/{repo.name}", revision, cache, Columns(), hub.endpoint)


def write(path, *captions):
    lines = "".join(f'{{"url": "http://example.org/1.jpg", "caption": "{text}"}}\n' for text in captions)
    path.parent.mkdir(exist_ok=True)
    path.write_text(lines)


def rows(opened):
    return {file.path: [row.caption for row in opened.read(file, 0, file.rows)] for file in opened.files()}


def fetched(hub):
    return [line["path"].partition("FilePath=")[2] for line in hub.requests("FilePath=")]


def write_big(path, seed=0):
    """A parquet file of BIG bytes that do not compress; its size."""
    noise = [os.urandom(1000).hex() for _ in range(BIG // 2000)]
    table = pa.table({"url": [f"http://example.org/{seed}/{n}.jpg" for n in range(len(noise))], "caption": noise})
    pq.write_table(table, path, compression="none", use_dictionary=False)
    return path.stat().st_size


def test_only_new_and_changed_shards_are_fetched_and_removed_ones_are_not_listed(hub, repo, tmp_path):
    for name, text in (("a", "old a"), ("b", "old b"), ("c", "old c")):
        write(repo / f"train-{name}.jsonl", text)
    opened = source(hub, repo, tmp_path)
    before = {file.path: file for file in opened.files()}
    assert fetched(hub) == ["train-a.jsonl", "train-b.jsonl", "train-c.jsonl"]

    hub.forget()
    write(repo / "train-b.jsonl", "new b", "and one more")
    write(repo / "train-d.jsonl", "new d")
    (repo / "train-c.jsonl").unlink()
    after = {file.path: file for file in opened.files()}
    assert fetched(hub) == ["train-b.jsonl", "train-d.jsonl"]
    assert len(hub.requests("/repo/tree")) == 1
    assert after["train-a.jsonl"] == before["train-a.jsonl"]
    assert after["train-b.jsonl"].sha256 != before["train-b.jsonl"].sha256
    assert rows(opened) == {
        "train-a.jsonl": ["old a"],
        "train-b.jsonl": ["new b", "and one more"],
        "train-d.jsonl": ["new d"],
    }
    assert [row.caption for row in opened.read(before["train-c.jsonl"], 0, 1)] == ["old c"]


def test_the_signature_asks_the_hub_each_time_and_fetches_nothing(hub, repo, tmp_path):
    write(repo / "train-a.jsonl", "old a")
    opened, before = source(hub, repo, tmp_path), len(fetched(hub))
    first = opened.signature()
    assert opened.signature() == first
    write(repo / "train-a.jsonl", "new a")
    assert opened.signature() != first and len(fetched(hub)) == before


def test_a_revision_is_used_for_the_list_and_for_every_file(hub, repo, tmp_path):
    write(repo / "train.jsonl", "on master")
    write(repo.with_name(f"{repo.name}@v1") / "train.jsonl", "tagged")
    tagged, master = source(hub, repo, tmp_path, "v1"), source(hub, repo, tmp_path)
    assert (rows(tagged), tagged.revision) == ({"train.jsonl": ["tagged"]}, "v1")
    assert all("Revision=v1" in line["path"] for line in hub.requests())
    assert rows(master) == {"train.jsonl": ["on master"]}


def test_without_a_revision_the_commit_that_was_there_is_recorded(hub, repo, tmp_path):
    write(repo / "train.jsonl", "one")
    opened = source(hub, repo, tmp_path)
    list(opened.files())
    first = opened.revision
    assert len(first) == 40
    write(repo / "train.jsonl", "two")
    list(opened.files())
    assert opened.revision != first


def test_a_hub_that_tells_no_commit_is_recorded_by_its_list(hub, repo, tmp_path):
    write(repo / "train.jsonl", "one")
    entry = {"Path": "train.jsonl", "Type": "blob", "Size": 0, "Sha256": hub.digest(repo / "train.jsonl")}
    hub.faults = [Fault("/repo/tree", "data", {"Files": [entry]})]
    opened = source(hub, repo, tmp_path)
    assert rows(opened) == {"train.jsonl": ["one"]}
    assert opened.revision.startswith("master:")


def test_a_missing_revision_and_a_missing_repository_are_named(hub, repo, tmp_path):
    write(repo / "train.jsonl", "one")
    with pytest.raises(BadInput, match="at revision v9"):
        list(source(hub, repo, tmp_path, "v9").files())
    with pytest.raises(BadInput, match="has no data set ns/nothing at revision master"):
        list(source(hub, repo.with_name("nothing"), tmp_path).files())


def test_a_long_list_of_files_comes_in_pages(hub, repo, tmp_path):
    for number in range(501):
        (repo / f"other-{number:04d}.txt").write_text("x")
    write(repo / "train.jsonl", "on the second page")
    assert rows(source(hub, repo, tmp_path)) == {"train.jsonl": ["on the second page"]}
    assert len(hub.requests("/repo/tree")) == 2


def test_file_names_with_spaces_wildcards_and_other_scripts_are_fetched(hub, repo, tmp_path):
    names = ["data/a b+c%20.jsonl", "data/图 [1]*?.jsonl", "data/x#y&z=@.jsonl"]
    for name in names:
        write(repo / name, name)
    assert rows(source(hub, repo, tmp_path)) == {name: [name] for name in sorted(names)}


def test_a_connection_that_is_cut_is_gone_on_with(hub, repo, tmp_path, monkeypatch):
    monkeypatch.setattr(modelscope_fetch, "WHOLE_BYTES", 0)
    size = write_big(repo / "train.parquet")
    hub.faults = [Fault("FilePath=", "cut", BIG // 2)]
    (file,) = source(hub, repo, tmp_path).files()
    assert file.rows == BIG // 2000
    first, second = hub.requests("FilePath=")
    assert ("range" not in first, second["range"]) == (True, f"bytes={BIG // 2}-")
    assert (tmp_path / f"{file.sha256}.parquet").stat().st_size == size


def test_a_run_that_is_killed_in_a_shard_goes_on_there_and_keeps_what_was_done(hub, repo, tmp_path, monkeypatch):
    monkeypatch.setattr(modelscope_fetch, "WHOLE_BYTES", 0)
    for number in range(2):
        write_big(repo / f"train-{number}.parquet", number)
    hub.faults = [Fault("FilePath=train-1", "drip", 0.2)]
    script = (
        "import sys; from pathlib import Path; from lance_assets.sources import modelscope, modelscope_fetch\n"
        "from lance_assets.sources.base import Columns; modelscope_fetch.WHOLE_BYTES = 0\n"
        "list(modelscope.ModelScopeSource('ms', sys.argv[1], None, Path(sys.argv[2]), Columns(), sys.argv[3]).files())"
    )
    command = [sys.executable, "-c", script, f"ns/{repo.name}", str(tmp_path), hub.endpoint]
    run = subprocess.Popen(command)
    while not [part for part in tmp_path.glob("work/*/train-1*.incomplete") if part.stat().st_size > 500_000]:
        assert run.poll() is None
        time.sleep(0.02)  # between two looks
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    hub.forget()
    assert len(list(source(hub, repo, tmp_path).files())) == 2
    (line,) = hub.requests("FilePath=")
    assert "train-1" in line["path"]
    assert int(line["range"].removeprefix("bytes=").removesuffix("-")) > 500_000
    assert not list((tmp_path / "work").iterdir())


def test_an_unfinished_download_of_a_shard_that_changed_is_dropped(hub, repo, tmp_path):
    write(repo / "train.jsonl", "one")
    left = tmp_path / "work" / ("ab" * 32)
    left.mkdir(parents=True)
    list(source(hub, repo, tmp_path).files())
    assert not left.exists()


def test_a_lost_cache_file_is_fetched_again_unless_the_hub_has_another_by_now(hub, repo, tmp_path):
    write(repo / "train.jsonl", "one")
    (file,) = source(hub, repo, tmp_path).files()
    (kept,) = tmp_path.glob(f"{file.sha256}*.parquet")
    kept.unlink()
    assert [row.caption for row in source(hub, repo, tmp_path).read(file, 0, 1)] == ["one"]
    kept.unlink()
    write(repo / "train.jsonl", "two")
    with pytest.raises(BadInput, match=r"has no file train.jsonl with that content any more"):
        list(source(hub, repo, tmp_path).read(file, 0, 1))


def test_progress_is_logged_with_bytes_and_rate(hub, repo, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(modelscope_fetch, "WHOLE_BYTES", 0)
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.5)
    size = f"{write_big(repo / 'train.parquet') / 1e6:.1f}"
    hub.faults = [Fault("FilePath=", "drip", 0.05)]
    with caplog.at_level(logging.INFO, "lance_assets"):
        list(source(hub, repo, tmp_path).files())
    said = [record.getMessage().removeprefix(f"train.parquet of ns/{repo.name}: ") for record in caplog.records]
    assert said[0] == f"loading {size} MB"
    assert any(f" of {size} MB, " in line and line.endswith(" MB/s") for line in said[1:-1])
    assert said[-1].startswith(f"{size} MB, ")
    assert said[-1].endswith(" MB/s, done")
