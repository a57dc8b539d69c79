"""The sensor `tail`, which renews the training set, on a real instance and a real table; its plans on plain values are
in unit/test_tail.py."""

from __future__ import annotations

import json

import dagster as dg

from lance_assets.automation.renewals import tail_of
from lance_assets.compute.scorers import SEEN_VERSION, SELECTION, platform_scorers, selection_of
from lance_assets.compute.train import recipe_sha256
from lance_assets.settings import Platform
from lance_assets.store.files import write_json
from lance_assets.store.selection import LATEST
from lance_assets.store.table import open_images
from lance_assets.tags import of_range
from lance_assets.training.recipe import load_recipe
from lance_assets_tests.graph.platforms import STARTED
from lance_assets_tests.tables import add_batch


def test_a_new_training_set_is_trained_on_and_evaluated_where_platform_yaml_says_so(platform):
    def asked() -> list[str]:
        found = tail_of(Platform(platform.home), platform.instance, {}, open_images(platform.root).version, "")
        return [asset for asset, one in (("checkpoint", found.checkpoint), ("evaluation", found.evaluation)) if one.why]

    add_batch(platform.root, "a", 2)
    assert asked() == [], "there is no training set"
    write_json(platform.root, LATEST, {"sha256": "a" * 64})
    assert asked() == ["checkpoint"]
    model = platform.home.checkpoints / "one" / "model"
    model.mkdir(parents=True)
    summary = {"path": str(model), "manifest_sha256": "a" * 64, "recipe_sha256": recipe_sha256(load_recipe("demo"))}
    latest = platform.home.checkpoints / "latest.json"
    latest.write_text(json.dumps(summary))
    assert asked() == ["evaluation"]
    (model / "evaluation.json").write_text("{}")
    assert asked() == ["evaluation"], "an empty evaluation is none"
    (model / "evaluation.json").write_text('{"verdict": "fine"}')
    assert asked() == []
    latest.write_text(json.dumps({**summary, "recipe_sha256": "b" * 64}))
    assert asked() == ["checkpoint"]


def test_the_training_set_is_renewed_when_the_table_or_the_selection_changed(platform, found):
    for key in platform.partitions():
        add_batch(platform.root, key, 2)
    asked = platform.tick("tail")
    assert asked.runs == [] and "is stale in" in asked.says
    platform.say(automation={"paused": ["sharpness", "words"]})
    assert platform.tick("tail").runs == [(["sft_dataset"], None)]
    scorers = platform_scorers(Platform(platform.home))
    seen = {SEEN_VERSION: open_images(platform.root).version, SELECTION: selection_of(Platform(platform.home), scorers)}
    platform.instance.report_runless_asset_event(dg.AssetMaterialization("sft_dataset", metadata=seen))
    assert platform.tick("tail").runs == []
    platform.say(sft={"split": 0.2})
    assert platform.tick("tail").tags[0]["lance_assets/relabel_reason"] == "another selection in platform.yaml"
    platform.say(sft={})
    add_batch(platform.root, "shots-0123abcd-7-8", 1, first=9)
    assert platform.tick("tail").tags[0]["lance_assets/relabel_reason"] == "the table changed"
    platform.run(["score/words"], of_range((platform.partitions()[0],) * 2), STARTED)
    assert platform.tick("tail").runs == []


def test_labels_that_moved_too_far_are_asked_for_last_and_hold_the_training_set_up(platform, found, monkeypatch):
    from lance_assets.automation import sensors

    asked = []
    monkeypatch.setattr(sensors, "held_back", lambda *_: asked.append(1) or "score_words moved too far")
    for key in platform.partitions():
        add_batch(platform.root, key, 2)
    assert "is stale in" in platform.tick("tail").says and not asked
    platform.say(automation={"paused": ["sharpness", "words"]})
    held = platform.tick("tail")
    assert (held.runs, held.says, asked) == ([], "score_words moved too far", [1])
