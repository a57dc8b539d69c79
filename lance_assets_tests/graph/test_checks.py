"""Asset checks on a real, ephemeral instance: told by batch, blocking the training set, lifted by a promotion."""

import json

import dagster as dg
import pytest

from lance_assets.automation.failed_steps import failures
from lance_assets.checks.fresh import freshness
from lance_assets.checks.promoted import promoted
from lance_assets.checks.trials import trials
from lance_assets.definitions import build
from lance_assets.errors import BadInput
from lance_assets.partitions import PARTITIONS
from lance_assets.store.claims import claim
from lance_assets.store.moved import Limits
from lance_assets.store.promotions import promote
from lance_assets.store.trials import on_trial
from lance_assets_tests.numbered import KEY, ROWS, A, B, Place, ends
from lance_assets_tests.tables import image_rows

DRIFT, COVERAGE, RANGE = (dg.AssetCheckKey(KEY, name) for name in ("drift", "coverage", "range"))
IMAGES = [dg.AssetCheckKey(dg.AssetKey("image_dataset"), name) for name in ("complete", "decodable")]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path / "home")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(PARTITIONS, [A, B])
        yield instance


def test_a_range_of_batches_gives_one_evaluation_for_each_check_and_batch(place, instance):
    place.label(A, B)
    found = place.check(instance, *IMAGES, DRIFT, COVERAGE, RANGE)
    names = ("complete", "decodable", "drift", "coverage", "range")
    assert set(found) == {(name, batch) for name in names for batch in (A, B)}
    assert all(one.passed for one in found.values())
    assert "40 rows asked for: 40 stored, 0 rejected" in found["complete", A].description
    assert found["decodable", B].metadata["looked_at"].value == 16
    assert "nothing to compare" in found["drift", A].description


def test_a_row_that_was_lost_and_an_image_that_was_spoilt_are_named(place, instance):
    rows = image_rows(A, ROWS).to_pylist()[1:]
    rows[0]["image"] = rows[0]["image"][:100]
    place.images(A, rows)
    found = place.check(instance, *IMAGES, batches=(A,))
    assert not found["complete", A].passed and f"1 missing: {A}/0" in found["complete", A].description
    assert not found["decodable", A].passed and f"{A}/1: its bytes are not" in found["decodable", A].description


def test_scores_beyond_their_bounds_and_rows_without_a_score_are_counted(place, instance):
    place.says("1", add=1000, below=30)
    place.label(A)
    found = place.check(instance, COVERAGE, RANGE, batches=(A,))
    assert found["range", A].metadata["beyond"].value == 30 and not found["range", A].passed
    assert found["range", A].severity == dg.AssetCheckSeverity.WARN
    assert found["coverage", A].passed and found["coverage", A].metadata["share_ok"].value == 1


def test_a_new_version_that_moves_one_batch_blocks_the_training_set_until_it_is_promoted(place, instance):
    place.label(A, B)
    before = place.select(instance)
    place.says("2", add=30, below=20)  # only rows of A: they come into the filter
    place.label(A, B)
    found = place.check(instance, DRIFT)
    assert found["drift", B].passed and not found["drift", A].passed
    assert found["drift", A].severity == dg.AssetCheckSeverity.ERROR
    assert found["drift", A].metadata["crossed_in"].value == 20
    assert "data:image/jpeg" in found["drift", A].metadata["largest_moves"].value
    said = place.select(instance)
    assert f"in 1 batch ({A})" in said and "lance-assets promote --column number --reason" in said
    event = promote(place.root, "score_number", Limits(0.25, 0.05, "score_number >= 20"), "ann", "on purpose")
    for one in promoted(event):
        instance.report_runless_asset_event(one)
    after = place.select(instance)
    assert after["rows"].value == before["rows"].value + 20 and "on purpose" in after["promotions"].value
    again = place.check(instance, DRIFT)
    assert again["drift", A].passed and "accepted by ann" in again["drift", A].description


def test_trials_that_no_run_checked_are_judged_by_a_sensor_once(place, instance):
    def looked(cursor=None):
        with dg.build_sensor_context(instance=instance, cursor=cursor) as context:
            result = trials(context, platform=place.platform)
        if isinstance(result, dg.SkipReason):
            return None, {}
        assert isinstance(result, dg.SensorResult)
        events = [one for one in result.asset_events if isinstance(one, dg.AssetCheckEvaluation)]
        return result.cursor, {one.partition: one for one in events}

    place.label(A, B)
    place.says("2", add=30, below=20)
    place.label(A, B)  # by a run that failed before its checks
    with claim(place.root, A):
        cursor, found = looked()
    assert cursor is None and set(found) == {B} and found[B].passed
    cursor, found = looked(cursor)
    assert cursor and set(found) == {A} and not found[A].passed and found[A].metadata["crossed_in"].value == 20
    assert on_trial(place.root, "score_number") == [A]
    assert looked(cursor) == (None, {}), "nothing changed"
    assert looked()[1] == {}, "a trial that failed is judged already"


def test_a_column_that_the_filter_does_not_name_warns_and_blocks_nothing(place, instance):
    place.label(A, B)
    place.says("2", add=30, below=20)
    place.label(A)
    settings = json.loads(place.home.platform_yaml.read_text()) | {"sft": {"filter": "score_caption_quality >= 0"}}
    place.home.platform_yaml.write_text(json.dumps(settings))
    found = place.check(instance, DRIFT, batches=(A,))
    assert not found["drift", A].passed and found["drift", A].severity == dg.AssetCheckSeverity.WARN
    assert place.select(instance)["rows"].value == 2 * ROWS


def test_limits_that_are_raised_let_the_labels_pass(place, instance):
    place.label(A, B)
    place.says("2", add=30, below=20)
    place.label(A, B)
    assert "moved more" in place.select(instance)
    settings = json.loads(place.home.platform_yaml.read_text())
    settings["checks"] = {"drift": {"psi": 100, "crossing_share": 1, "correlation": -1}}
    place.home.platform_yaml.write_text(json.dumps(settings))
    assert place.select(instance)["rows"].value > 0


def test_what_is_stale_and_why_is_told_before_anything_is_relabelled(place, instance):
    def told():
        with dg.build_sensor_context(instance=instance, cursor=place.cursor) as context:
            result = freshness(context, platform=place.platform)
        if not isinstance(result, dg.SensorResult):
            return {}
        place.cursor = result.cursor
        return {one.asset_key.path[-1]: one for one in result.asset_events if isinstance(one, dg.AssetCheckEvaluation)}

    place.cursor = None
    assert "80 rows in 2 batches never scored" in str(told()["number"].description)
    place.label(A, B)
    fresh = told()
    assert fresh["number"].passed and fresh["caption_quality"].passed
    assert told() == {}
    place.says("2")
    stale = told()
    assert set(stale) == {"number"} and not stale["number"].passed
    assert "80 rows in 2 batches scored by another version" in str(stale["number"].description)
    assert "now version 2" in str(stale["number"].description) and "labels are of version 1" in str(
        stale["number"].description
    )
    assert stale["number"].metadata["stale_rows"].value == 80


def test_a_scorer_that_platform_yaml_lost_since_is_told_in_one_sentence(place, instance):
    place.label(A)
    job = build(place.platform).resolve_implicit_global_asset_job_def()
    settings = json.loads(place.home.platform_yaml.read_text()) | {"scorers": [{"name": "caption_quality"}]}
    place.home.platform_yaml.write_text(json.dumps(settings))
    for subset in (
        job.get_subset(asset_selection=set(), asset_check_selection={DRIFT}),
        job.get_subset(asset_selection=set(), asset_check_selection={dg.AssetCheckKey(KEY, "fresh")}),
        job.get_subset(asset_selection={KEY}, asset_check_selection=set()),
    ):
        done = subset.execute_in_process(instance=instance, tags=ends((A,)), raise_on_error=False)
        (said,) = failures(instance, done.run_id)
        assert "has no scorer number any more: reload the code location" in said


def test_a_platform_yaml_that_cannot_be_read_is_said_by_the_sensor_of_staleness(place, instance):
    place.home.platform_yaml.write_text("checks: {drift: {psi: -1}}")
    with dg.build_sensor_context(instance=instance) as context:
        said = freshness(context, platform=place.platform)
    assert isinstance(said, dg.SkipReason) and "checks.drift.psi" in str(said.skip_message)


def test_a_limit_that_is_none_is_refused_by_name(place):
    place.home.platform_yaml.write_text("checks: {drift: {psi: -1}}")
    with pytest.raises(BadInput, match=r"checks\.drift\.psi"):
        place.platform.config()
