"""The real webserver and daemon, asked for what the browser asks for."""

import json

from lance_assets.store import ledger
from lance_assets.store.files import DataRoot

BATCHED = {
    "raw_captions",
    "image_dataset",
    "score/sharpness",
    "score/exposure",
    "score/caption_quality",
    "score/alignment",
    "score/duplicate",
    "score/redness",  # of a file in the home
}
WHOLE = {"alignment_model", "sft_dataset", "data_card", "qwen_vl_checkpoint", "merged_model", "evaluation"}
SCALARS = {"mean", "p05", "p50", "p95", "null_fraction", "rows", "failed"}


def ledger_rows(platform):
    return ledger.read(DataRoot(platform.home / "data")).num_rows


def image_requests(platform):
    lines = (platform.home / "demo" / "requests.jsonl").read_text().splitlines()
    return sum("/images/" in json.loads(line)["path"] for line in lines)


def test_one_batch_of_everything_is_materialized_by_what_the_browser_sends(platform, by_graphql):
    found = platform.graphql.materializations(by_graphql.runs[0])
    assert set(found) == BATCHED | WHOLE
    assert {name: found[name]["partition"] for name in BATCHED} == dict.fromkeys(BATCHED, by_graphql.batch)


def test_every_scorer_reports_the_same_scalars_and_pictures(platform, by_graphql):
    found = platform.graphql.materializations(by_graphql.runs[0])
    for name in BATCHED - {"score/duplicate"}:
        if name.startswith("score/"):
            assert found[name]["metadata"] >= SCALARS | {
                "histogram",
                "lowest_and_highest",
                "random",
                "lance_version",
            }, name
    wanted = {"exact", "near", "groups", "links_groups", "distances", "pairs", "rows", "failed", "null_fraction"}
    assert found["score/duplicate"]["metadata"] >= wanted
    assert found["image_dataset"]["metadata"] >= {
        "rows_stored",
        "rows_rejected",
        "samples",
        "rejected",
        "lance_version",
    }
    assert found["qwen_vl_checkpoint"]["metadata"] >= {
        "loss_first",
        "loss_last",
        "loss",
        "loss_curve",
        "trained_on",
        "lance_tag",
    }
    assert found["evaluation"]["metadata"] >= {"verdict", "against_base", "facts", "lance_version"}


#: A model of two steps does not read yet, and a refitted alignment model makes the batches before stale.
MAY_FAIL = {("evaluation", "reads_the_image"), ("evaluation", "not_worse_than_before"), ("score/alignment", "fresh")}


def test_every_check_tells_of_the_batch_and_none_fails(platform, by_graphql):
    found = platform.graphql.checks(by_graphql.runs[0])
    by_batch = {(name, check) for (name, check), one in found.items() if one["partition"] == by_graphql.batch}
    assert by_batch >= {("image_dataset", "complete"), ("image_dataset", "decodable"), ("score/duplicate", "coverage")}
    assert by_batch >= {(f"score/{name}", check) for name in ("sharpness", "redness") for check in ("range", "drift")}
    assert {(name, "fresh") for name in BATCHED if name.startswith("score/")} <= set(found)
    assert {key for key, one in found.items() if not one["success"]} <= MAY_FAIL
    assert {check for name, check in found if name == "evaluation"} >= {"better_than_base", "reads_the_image"}


def test_the_page_of_a_run_says_how_far_it_came(platform, by_graphql):
    lines = platform.graphql.lines(by_graphql.runs[0])
    for words in (
        "30 downloads of 30 rows are over",
        "sharpness scored",
        "alignment scored",
        "rows to train on",
        "training on",
        "held-out",
    ):
        assert any(words in line for line in lines), f"no line says {words!r}: {lines}"


def test_a_run_that_is_re_executed_downloads_and_scores_nothing_twice(platform, by_graphql):
    before = ledger_rows(platform), image_requests(platform)
    again = platform.graphql.reexecute(by_graphql.runs[0])
    platform.graphql.succeeded(again)
    assert set(platform.graphql.materializations(again)) == BATCHED | WHOLE
    assert (ledger_rows(platform), image_requests(platform)) == before


def test_a_run_of_the_command_line_is_listed_and_can_be_re_executed(platform, by_command):
    graphql = platform.graphql
    assert set(by_command.runs) <= set(graphql.runs())
    found = graphql.materializations(by_command.runs[0])
    assert found["score/sharpness"]["partition"] == by_command.batch
    before = ledger_rows(platform), image_requests(platform)
    again = graphql.reexecute(by_command.runs[0])
    graphql.succeeded(again)
    assert set(graphql.materializations(again)) == set(found)
    assert (ledger_rows(platform), image_requests(platform)) == before
