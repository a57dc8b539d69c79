"""The sensors on a real instance and a real table; the daemon itself is in ui/test_automation.py."""

from __future__ import annotations

import json

import dagster as dg
import pytest

from lance_assets.assets.common import due_at
from lance_assets.automation import runs
from lance_assets.automation.renewals import tail_of
from lance_assets.automation.runs import in_flight, tried
from lance_assets.automation.world import attempts
from lance_assets.compute.scorers import SEEN_VERSION, SELECTION, needs_fit, platform_scorers, selection_of
from lance_assets.compute.train import recipe_sha256
from lance_assets.scoring.alignment import NOTHING
from lance_assets.settings import Platform
from lance_assets.store.files import write_json
from lance_assets.store.rejects import replace_rejects
from lance_assets.store.schema import REJECTS
from lance_assets.store.selection import LATEST
from lance_assets.store.table import open_images
from lance_assets.tags import AUTOMATION_TAG, MADE_TAG, of_range
from lance_assets.training.recipe import load_recipe
from lance_assets_tests.graph.platforms import SmallPlatform
from lance_assets_tests.tables import add_batch

NEW, STARTED, FAILURE = dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE
SOURCE = "new_samples_shots"
LABELS = ["score/sharpness", "score/words"]


@pytest.fixture
def platform(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        yield SmallPlatform(tmp_path, instance)


@pytest.fixture
def found(platform):
    """The batches of a file of five rows, registered by a tick, and its cursor."""
    platform.add("a.jsonl", 5)
    return platform.tick(SOURCE)


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


def test_platform_yaml_switches_sensors_off_without_a_reload(platform):
    platform.add("a.jsonl", 5)
    platform.say(automation={"new_samples": False, "relabel": False, "training_set": False})
    assert "automation.new_samples is off" in platform.tick(SOURCE).says
    assert "automation.relabel is off" in platform.tick("relabel").says
    assert "automation.training_set is off" in platform.tick("tail").says


def test_a_partition_that_is_no_batch_key_stops_no_sensor(platform, found):
    platform.instance.add_dynamic_partitions("batches", ["tomorrow"])
    add_batch(platform.root, found.registered[0], 2)
    assert [ends for _, ends in platform.tick(SOURCE).runs] == [tuple(found.registered[1:])]
    assert platform.tick("relabel").runs == [(LABELS, (found.registered[0],) * 2)]
    assert "is stale in 1 batches" in platform.tick("tail").says


def test_a_sensor_never_removes_a_partition(platform, found):
    (platform.shots / "a.jsonl").unlink()
    platform.add("z.jsonl", 1)
    platform.tick(SOURCE)
    assert set(found.registered) < set(platform.partitions())


def test_stale_columns_are_asked_for_together_and_unknown_batches_registered(platform, found):
    first, middle, _ = platform.partitions()
    add_batch(platform.root, first, 2)
    add_batch(platform.root, middle, 2)
    add_batch(platform.root, "other-0123abcd-0-3", 3)
    asked = platform.tick("relabel")
    assert asked.registered == ["other-0123abcd-0-3"]
    assert asked.runs == [(LABELS, (first, middle)), (LABELS, ("other-0123abcd-0-3",) * 2)]
    assert asked.tags[0]["lance_assets/relabel_reason"] == "never scored (8)"
    platform.run(LABELS, asked.tags[0], STARTED)
    assert platform.tick("relabel").runs == asked.runs[1:]
    platform.say(automation={"paused": ["words"]})
    assert platform.tick("relabel").runs == [(LABELS[:1], asked.runs[1][1])]
    platform.say(automation={"paused": ["beauty", "words"]})
    assert platform.tick("relabel").runs == [(LABELS[:1], asked.runs[1][1])], "a name of nobody stops nothing"
    platform.say(automation={"paused": ["beauty", "sharpness", "words"]})
    assert "automation.paused: there is no scorer beauty" in platform.tick("relabel").says


def test_the_alignment_model_is_fitted_once_there_are_images_and_its_column_waits_for_it(platform, found):
    first = platform.partitions()[0]
    add_batch(platform.root, first, 2)
    platform.say(scorers=[{"name": "sharpness"}, {"name": "alignment"}])
    assert platform.tick("relabel").runs == [(["alignment_model"], None), (LABELS[:1], (first, first))]
    platform.run(["alignment_model"], {}, STARTED)
    assert platform.tick("relabel").runs == [(LABELS[:1], (first, first))]
    platform.say(automation={"paused": ["alignment"]})
    assert platform.tick("relabel").runs == [(LABELS[:1], (first, first))]


def test_a_scorer_that_the_code_location_does_not_have_yet_stops_nobody(platform, found):
    add_batch(platform.root, platform.partitions()[0], 2)
    loaded, asked = platform.load(), platform.tick("relabel").runs
    platform.say(scorers=[*platform.said["scorers"], {"name": "exposure"}])
    assert platform.tick("relabel", loaded=loaded).runs == asked
    assert "platform.yaml names exposure by now: reload" in platform.tick("tail", loaded=loaded).says


def test_a_model_that_had_nothing_to_learn_is_fitted_again_when_there_are_more_rows(platform):
    models = platform.home.models
    assert needs_fit(models)
    (models / "alignment").mkdir(parents=True)
    (models / "alignment" / "current.json").write_text(json.dumps({"model_digest": NOTHING, "rows": 2}))
    assert needs_fit(models) and needs_fit(models, 3) and not needs_fit(models, 2)
    (models / "alignment" / "current.json").write_text(json.dumps({"model_digest": "c0ffee"}))
    assert not needs_fit(models, 3)


def test_nothing_is_asked_for_before_there_are_images(platform, found):
    assert platform.tick("relabel").says == platform.tick("tail").says == "no image is stored yet"


def test_runs_and_backfills_of_anybody_count_as_in_flight(platform, found):
    order, everything = platform.partitions(), ["image_dataset", *LABELS]
    platform.run(LABELS[:1], of_range((order[0], order[1])), NEW)
    platform.run(["image_dataset"], of_range((order[2], order[2])), STARTED)
    platform.run(LABELS[1:], of_range((order[0], order[2])), dg.DagsterRunStatus.SUCCESS)
    platform.run([], {}, STARTED, job="discover_batches")
    flight = in_flight(platform.instance, order, everything)
    assert flight.busy == {"score/sharpness": set(order[:2]), "image_dataset": {order[2]}} and flight.runs == {}
    platform.run([], of_range((order[1], order[1])), STARTED)
    assert in_flight(platform.instance, order, everything).holds("score/words", order[1])


def test_a_backfill_that_is_not_over_counts_as_in_flight(platform, found):
    from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

    order = platform.partitions()
    backfill = PartitionBackfill.from_asset_partitions(
        asset_graph=platform.load().asset_graph,
        backfill_id="backfill",
        tags={},
        backfill_timestamp=1.0,
        asset_selection=[dg.AssetKey(["score", "words"])],
        partition_names=order[:2],
        dynamic_partitions_store=platform.instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )
    platform.instance.add_backfill(backfill)
    assert in_flight(platform.instance, order, []).busy == {"score/words": set(order[:2])}
    platform.instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))
    assert in_flight(platform.instance, order, []).busy == {}


def test_runs_that_are_over_are_remembered_with_what_they_were_for(platform, found):
    order = platform.partitions()
    tags = {"lance_assets/automation": "relabel", MADE_TAG: json.dumps({"score/words": "1 abc"})}
    platform.run(LABELS[1:], {**tags, **of_range((order[0], order[1]))}, FAILURE)
    platform.run(LABELS[1:], of_range((order[0], order[1])), FAILURE)
    (one,) = tried(platform.instance, order, "relabel")
    assert (one.assets, list(one.batches), one.made) == (LABELS[1:], order[:2], {"score/words": "1 abc"})
    assert one.began <= one.ended


def test_trainings_that_failed_are_counted_however_long_ago_they_were(platform, found, monkeypatch):
    tags = {AUTOMATION_TAG: "tail", MADE_TAG: json.dumps({"qwen_vl_checkpoint": "7 abc"})}
    platform.run(["qwen_vl_checkpoint"], tags, FAILURE)
    monkeypatch.setattr(runs, "LOOK_BACK_S", 0.0)
    assert tried(platform.instance, [], "tail") == []
    said = Platform(platform.home).config().automation
    assert attempts(platform.instance, [], "tail", said, ever=True).count("qwen_vl_checkpoint", None, "7 abc") == 1


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


@pytest.mark.parametrize(("tags", "waits"), [({AUTOMATION_TAG: "relabel"}, True), ({}, False)])
def test_a_run_of_a_sensor_leaves_what_backs_off_alone_and_one_of_a_person_does_not(platform, tags, waits):
    @dg.asset
    def looks(context):
        return dg.MaterializeResult(metadata={"waits": due_at(context) is not None})

    done = dg.materialize([looks], instance=platform.instance, tags=tags)
    assert done.asset_materializations_for_node("looks")[0].metadata["waits"].value is waits
