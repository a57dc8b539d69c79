"""The sensors that register new rows of a source and ask for their download, on a real instance and a real table."""

from __future__ import annotations

from lance_assets.store.rejects import replace_rejects
from lance_assets.store.schema import REJECTS
from lance_assets_tests.graph.platforms import FAILURE, NEW, SOURCE
from lance_assets_tests.tables import add_batch


def test_new_rows_are_registered_and_their_download_is_asked_for_in_one_range(platform, found):
    first, _, last = platform.partitions()
    assert [key.rpartition("-")[0][-2:] for key in found.registered] == ["-0", "-2", "-4"]
    assert found.runs == [(["raw_captions", "image_dataset"], (first, last))]
    assert found.tags[0]["lance_assets/relabel_reason"] == "new rows" and found.cursor


def test_what_is_in_flight_is_not_asked_for_again(platform, found):
    platform.run(*found.runs[0][:1], found.tags[0], NEW)
    again = platform.tick(SOURCE, found.cursor)
    assert (again.runs, again.registered) == ([], []) and "3 batches lack images" in again.says


def test_a_daemon_that_died_after_registering_asks_the_next_time(platform, found):
    assert platform.tick(SOURCE, found.cursor).runs == found.runs
    assert platform.tick(SOURCE).runs == found.runs, "with a fresh cursor, too"


def test_a_run_that_failed_is_asked_for_again_but_not_at_once(platform, found):
    platform.run(found.runs[0][0], found.tags[0], FAILURE)
    assert platform.tick(SOURCE, found.cursor).runs == []
    platform.say(automation={"retry_after_s": 0.000001})
    assets, _ = found.runs[0]
    alone = [(assets, (key, key)) for key in platform.partitions()]
    assert platform.tick(SOURCE).runs == alone, "so that a bad batch costs only itself"
    platform.say(automation={}, allow_hosts=["example.org"])
    assert platform.tick(SOURCE).runs == found.runs, "other settings may help"


def test_only_batches_that_lack_images_are_asked_for(platform, found):
    first, middle, last = platform.partitions()
    add_batch(platform.root, middle, 2)
    assert [ends for _, ends in platform.tick(SOURCE, found.cursor).runs] == [(first, first), (last, last)]
    reject = dict.fromkeys(REJECTS.names) | {"id": "x", "batch": last, "reason": "http_404", "attempts": 1}
    replace_rejects(platform.root, last, REJECTS.empty_table().from_pylist([reject], REJECTS))
    assert [ends for _, ends in platform.tick(SOURCE, found.cursor).runs] == [(first, first)]


def test_a_source_that_did_not_change_is_only_listed(platform, found, monkeypatch):
    from lance_assets.automation import arrivals

    looked = []
    monkeypatch.setattr(arrivals, "look_at", lambda *_: looked.append(1))
    assert platform.tick(SOURCE, found.cursor).registered == [] and looked == []


def test_a_file_more_and_a_file_that_grew_give_only_their_new_rows(platform, found):
    before = set(platform.partitions())
    platform.add("b.jsonl", 2)
    added = platform.tick(SOURCE, found.cursor)
    assert len(added.registered) == 1 and added.cursor != found.cursor
    assert before < set(platform.partitions())


def test_a_look_takes_in_so_many_new_files_and_the_next_one_goes_on(platform):
    for at, name in enumerate("abc"):
        platform.add(f"{name}.jsonl", 2, first=10 * at)
    platform.say(automation={"files_per_tick": 2})
    first = platform.tick(SOURCE)
    assert (len(first.registered), first.cursor) == (2, None)
    second = platform.tick(SOURCE, first.cursor)
    assert len(second.registered) == 1 and second.cursor


def test_a_source_that_cannot_be_read_says_so(platform):
    assert "there is no file or folder" in platform.tick(SOURCE).says


def test_a_sensor_never_removes_a_partition(platform, found):
    (platform.shots / "a.jsonl").unlink()
    platform.add("z.jsonl", 1)
    platform.tick(SOURCE)
    assert set(found.registered) < set(platform.partitions())
