"""`lance-assets run` on a person's own folder, first whole, then incrementally. The tests share one home, in order."""

from dataclasses import dataclass
from typing import Any

import jsonschema
import pytest

from lance_assets.cli.summary import schema
from lance_assets.ingest.captions import DEFAULT_CAPTION
from lance_assets.ingest.conversation import caption_of
from lance_assets.store.files import DataRoot
from lance_assets.store.table import open_images
from lance_assets_tests.cli.command import RECIPE, lance_assets
from lance_assets_tests.cli.folders import caption, image_files, row, untouched, write_jsonl, write_parquet
from lance_assets_tests.picture_server import picture_server

SCORERS = {"sharpness", "exposure", "caption_quality", "alignment", "duplicate"}
STAGES = {"raw_captions", "image_dataset", "light_scores", "alignment_model", "alignment_score", "duplicate_score"}
TAIL = {"sft_dataset", "qwen_vl_checkpoint", "evaluation"}


@dataclass
class Seen:
    """The summary of a run, and what there was after it."""

    summary: dict[str, Any]
    files: dict[str, str]
    paths: list[str]
    config: str


class Shop:
    """One home, one folder of captions, one image server."""

    def __init__(self, folder, server, ray_address):
        self.source, self.home, self.server, self.ray = folder / "shots", folder / "home", server, ray_address

    def fill(self):
        """36 rows in three files: both layouts of captions, each way of writing cap_seg, and every kind of bad row."""
        url = self.server.url
        good = [row(url(n), n) for n in range(12)]
        write_jsonl(
            self.source / "a.jsonl", [*good[:6], '{"opensource_url": "http://', *good[6:], row(url(12, "gone"), 12)]
        )
        seg = [{"global_caption": caption(n), "dense": [{"box": [0, 1]}]} for n in range(40)]
        write_parquet(self.source / "b.parquet", [{"opensource_url": url(n), "cap_seg": seg[n]} for n in range(13, 21)])
        as_json = [{"url": url(n), "cap_seg": f'{{"global_caption": "{caption(n)}"}}'} for n in range(21, 25)]
        as_python = [{"url": url(n), "cap_seg": f"{{'global_caption': '{caption(n)}'}}"} for n in range(25, 29)]
        odd = [
            {"url": url(29)},
            row(url(30, "html"), 30),
            row("http://127.0.0.1:1/31.jpg", 31),
            {"url": None, "caption": caption(32)},
        ]
        late = [row(url(33), 33), row(url(34), 34)]
        write_jsonl(self.source / "sub" / "c.jsonl", [*odd, *as_json, *as_python, *late])

    def run(self, *more):
        asked = ["--source", f"files:{self.source}", "--home", self.home, "--json", *more]
        done = lance_assets("run", *asked, LANCE_ASSETS_RAY_ADDRESS=self.ray)
        assert done.code == 0, "\n".join(done.err)
        config = (self.home / "platform.yaml").read_text()
        return Seen(done.json(), image_files(self.home), list(self.server.paths), config)


@pytest.fixture(scope="module")
def shop(tmp_path_factory, ray_address):
    with picture_server() as server:
        shop = Shop(tmp_path_factory.mktemp("own"), server, ray_address)
        shop.fill()
        yield shop


@pytest.fixture(scope="module")
def first(shop):
    flags = ("--batch-size", 10, "--rows", 34, "--recipe", RECIPE, "--allow-host", shop.server.host)
    return shop.run(*flags)


@pytest.fixture(scope="module")
def second(shop, first):
    """With a new file, and a limit that lets it and the last rows of an old file in."""
    write_jsonl(shop.source / "d.jsonl", [row(shop.server.url(n), n) for n in range(40, 46)])
    return shop.run("--rows", 100)


@pytest.fixture(scope="module")
def third(shop, second):
    return shop.run()


@pytest.fixture(scope="module")
def retried(shop, third):
    """The row that was not there is there by now, and only rows with that reason are tried again."""
    shop.server.mended.set()
    flags = ("--rejects", "--reason", "http_404", "--home", shop.home, "--json")
    done = lance_assets("retry", *flags, LANCE_ASSETS_RAY_ADDRESS=shop.ray)
    assert done.code == 0, "\n".join(done.err)
    return done.json()


def test_the_summary_follows_its_schema(first, second, third):
    for seen in (first, second, third):
        jsonschema.validate(seen.summary, schema())


def test_every_row_is_stored_or_rejected_with_its_reason(first):
    rows = first.summary["rows"]
    assert rows["rejected"] == {
        "malformed_row": 1,
        "http_404": 1,
        "not_an_image": 1,
        "blocked_address": 1,
        "missing_url": 1,
    }
    assert (rows["asked"], rows["stored"]) == (34, 29) and sum(rows["rejected"].values()) == 5


def test_captions_come_from_every_layout_and_a_missing_one_is_marked(shop, first):
    columns = ["image_url", "messages", "caption_missing"]
    rows = open_images(DataRoot(shop.home / "data"), first.summary["lance"]["version"]).to_table(columns=columns)
    found = {row["image_url"]: (caption_of(row["messages"]), row["caption_missing"]) for row in rows.to_pylist()}
    wanted = {shop.server.url(n): (caption(n), False) for n in (*range(12), *range(13, 29))}
    assert found == {**wanted, shop.server.url(29): (DEFAULT_CAPTION, True)}


def test_the_whole_graph_ran(first):
    summary = first.summary
    assert set(summary["seconds"]) >= STAGES | TAIL
    assert {name: score["ok"] for name, score in summary["scores"].items()} == dict.fromkeys(SCORERS, 29)
    assert summary["this_run"]["scorer_calls"] == dict.fromkeys(SCORERS, 29)
    assert summary["sft"]["train"] > 0 and summary["sft"]["test"] > 0
    assert summary["checkpoint"]["loss_last"] < summary["checkpoint"]["loss_first"]
    assert summary["evaluation"]["rows"] == summary["sft"]["test"]
    assert summary["failed"] == []


def test_the_address_of_ray_in_the_environment_does_not_get_into_platform_yaml(shop, first):
    assert shop.ray not in first.config


def test_a_new_file_and_a_larger_limit_add_batches_and_only_their_rows_are_downloaded(shop, first, second):
    new = second.paths[len(first.paths) :]
    assert sorted(new) == sorted(["/33.jpg", "/34.jpg", *(f"/{n}.jpg" for n in range(40, 46))])
    assert second.summary["this_run"]["downloaded"] == 8
    assert second.summary["batches"] == first.summary["batches"] + 2
    assert len(second.summary["this_run"]["batches"]) == 2


def test_only_new_rows_are_scored(second):
    assert second.summary["this_run"]["scorer_calls"] == dict.fromkeys(SCORERS, 8)
    assert {name: score["ok"] for name, score in second.summary["scores"].items()} == dict.fromkeys(SCORERS, 37)


def test_no_existing_file_of_the_table_changes(first, second):
    assert untouched(first.files, second.files) and len(second.files) > len(first.files)


def test_training_set_and_checkpoint_are_renewed(first, second):
    assert second.summary["sft"]["rows"] > first.summary["sft"]["rows"]
    assert second.summary["lance"]["tag"] != first.summary["lance"]["tag"]
    assert second.summary["checkpoint"]["path"] != first.summary["checkpoint"]["path"]


def test_a_run_without_anything_new_does_nothing(second, third):
    now = third.summary["this_run"]
    assert (now["batches"], now["downloaded"], set(now["scorer_calls"].values())) == ([], 0, {0})
    assert (third.paths, third.files) == (second.paths, second.files)
    for same in ("rows", "scores", "lance", "sft", "checkpoint", "evaluation"):
        assert third.summary[same] == second.summary[same]
    assert third.summary["seconds"]["qwen_vl_checkpoint"] < second.summary["seconds"]["qwen_vl_checkpoint"] / 2


def test_status_agrees(shop, third):
    done = lance_assets("status", "--home", shop.home, "--json")
    found, rows = done.json(), third.summary["rows"]
    assert done.code == 0
    assert found["batches"] == {"known": third.summary["batches"], "pending": []}
    assert found["rows"] == {"stored": rows["stored"], "rejected": rows["rejected"]}
    assert found["stale"] == {name: {} for name in SCORERS}
    assert found["queue"] == {"queued": 0, "running": 0, "dead": 0, "backfills": []}
    assert found["last_failures"] == []


def test_a_retry_fetches_only_the_rejects_of_its_reason_and_scores_what_it_stored(shop, third, retried):
    assert (retried["tried"], retried["stored"], retried["failed"]) == (1, 1, [])
    assert shop.server.paths[len(third.paths) :] == ["/gone/12.jpg"]
    assert "http_404" not in retried["rejected"] and "not_an_image" in retried["rejected"]
    assert untouched(third.files, image_files(shop.home))
    found = lance_assets("status", "--home", shop.home, "--json").json()
    assert found["rows"] == {"stored": third.summary["rows"]["stored"] + 1, "rejected": retried["rejected"]}
    assert found["stale"] == {name: {} for name in SCORERS} and found["batches"]["pending"] == []


@pytest.mark.parametrize("reason", ["missing_url", "went_wrong"])
def test_a_reason_that_cannot_be_tried_again_is_refused_in_one_sentence(shop, retried, reason):
    done = lance_assets("retry", "--rejects", "--reason", reason, "--home", shop.home)
    assert done.code == 2 and len(done.err) == 1 and f"--reason {reason}" in done.err[0]
