"""Asset checks on a real, ephemeral instance: told by batch, blocking the training set, lifted by a promotion."""

import json

import dagster as dg
import pyarrow as pa
import pytest

from lance_assets.assets.scores import score_key
from lance_assets.checks.fresh import freshness
from lance_assets.checks.promoted import promoted
from lance_assets.compute.fragment import Tools
from lance_assets.compute.in_process import in_process
from lance_assets.compute.label import label
from lance_assets.compute.registry import active_scorers
from lance_assets.definitions import build
from lance_assets.errors import BadInput
from lance_assets.partitions import PARTITIONS
from lance_assets.settings import Home, Platform
from lance_assets.store.batches import replace_batch, write_fragment
from lance_assets.store.captions import write_captions
from lance_assets.store.files import DataRoot
from lance_assets.store.promotions import promote
from lance_assets.store.schema import CAPTIONS
from lance_assets.store.schema import IMAGES as IMAGES_SCHEMA
from lance_assets.store.trials import Limits
from lance_assets_tests.tables import add_batch, image_rows

A, B = "shots-0123abcd-0-40", "shots-0123abcd-40-80"
ROWS = 40
SCORER = '''
from lance_assets.scoring.functions import scorer


@scorer(version="{version}", fields=["messages"], bounds=(0, 100), unit="the number of the row")
def number(item):
    """The row's number, and more of some."""
    value = int(item.caption.split()[1].rstrip("."))
    return value + ({add} if value < {below} else 0)
'''
KEY = score_key("number")


class Place:
    """A home with two batches of 40 rows, whose only scorer is a file of the home."""

    def __init__(self, folder):
        self.home = Home(folder, folder / "data")
        self.home.create()
        self.platform = Platform(self.home)
        self.root = DataRoot(self.home.data)
        self.home.platform_yaml.write_text(
            json.dumps(
                {
                    "scorers": [{"name": "caption_quality"}, {"name": "number", "uses": "numbers_of:number"}],
                    "sft": {"filter": "score_number >= 20"},
                }
            )
        )
        self.says("1")
        for number, batch in enumerate((A, B)):
            add_batch(self.root, batch, ROWS, first=number * ROWS)
            self.captions(batch, number * ROWS, ROWS)

    def captions(self, batch, first, rows):
        like = image_rows(batch, rows, first).to_pylist()
        said = [
            dict.fromkeys(CAPTIONS.names)
            | {"id": row["id"], "caption": "x", "caption_missing": False, "row_in_file": 0}
            | {"source_path": "f", "source_sha256": "0", "source_revision": ""}
            for row in like
        ]
        write_captions(self.root, batch, pa.Table.from_pylist(said, schema=CAPTIONS))

    def images(self, batch, rows):
        """Stores these rows instead of the batch."""
        stored = write_fragment(self.root, iter([pa.RecordBatch.from_pylist(rows, schema=IMAGES_SCHEMA)]))
        replace_batch(self.root, batch, stored, {})

    def says(self, version, add=0, below=0):
        (self.home.root / "numbers_of.py").write_text(SCORER.format(version=version, add=add, below=below))

    def label(self, *batches):
        scorers = active_scorers(self.platform)
        tools = Tools(self.home.models)
        done = list(label(self.root, batches, scorers, "run", print, tools, runner=in_process))
        assert not [one.failure for one in done if one.failure]

    def check(self, instance, *names, batches=(A, B)):
        """Runs checks of the column (or all of image_dataset) over batches in one run: {(check, batch): evaluation}."""
        job = build(self.platform).resolve_implicit_global_asset_job_def()
        keys = {key for key in job.asset_layer.asset_graph.asset_check_keys if not names or key in names}
        done = job.get_subset(asset_selection=set(), asset_check_selection=keys).execute_in_process(
            instance=instance, tags=ends(batches)
        )
        return {(one.check_name, one.partition): one for one in done.get_asset_check_evaluations()}

    def select(self, instance):
        """Materializes sft_dataset: its metadata, or the sentence it failed with."""
        job = build(self.platform).resolve_implicit_global_asset_job_def()
        subset = job.get_subset(asset_selection={dg.AssetKey("sft_dataset")}, asset_check_selection=set())
        done = subset.execute_in_process(instance=instance, raise_on_error=False)
        if done.success:
            (event,) = done.get_asset_materialization_events()
            return event.materialization.metadata
        (failed,) = done.filter_events(lambda event: event.is_step_failure)
        error = failed.step_failure_data.error
        assert error is not None
        return (error.cause or error).message


def ends(batches):
    if len(batches) == 1:
        return {"dagster/partition": batches[0]}
    return {"dagster/asset_partition_range_start": batches[0], "dagster/asset_partition_range_end": batches[-1]}


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
    found = place.check(instance, *IMAGES, batches=[A])
    assert not found["complete", A].passed and f"1 missing: {A}/0" in found["complete", A].description
    assert not found["decodable", A].passed and f"{A}/1: its bytes are not" in found["decodable", A].description


def test_scores_beyond_their_bounds_and_rows_without_a_score_are_counted(place, instance):
    place.says("1", add=1000, below=30)
    place.label(A)
    found = place.check(instance, COVERAGE, RANGE, batches=[A])
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
    assert f"in 1 batches ({A})" in said and "lance-assets promote --column number --reason" in said
    event = promote(place.root, "score_number", Limits(0.25, 0.05, "score_number >= 20"), "ann", "on purpose")
    for one in promoted(event):
        instance.report_runless_asset_event(one)
    after = place.select(instance)
    assert after["rows"].value == before["rows"].value + 20 and "on purpose" in after["promotions"].value
    again = place.check(instance, DRIFT)
    assert again["drift", A].passed and "accepted by ann" in again["drift", A].description


def test_a_column_that_the_filter_does_not_name_warns_and_blocks_nothing(place, instance):
    place.label(A, B)
    place.says("2", add=30, below=20)
    place.label(A)
    settings = json.loads(place.home.platform_yaml.read_text()) | {"sft": {"filter": "score_caption_quality >= 0"}}
    place.home.platform_yaml.write_text(json.dumps(settings))
    found = place.check(instance, DRIFT, batches=[A])
    assert not found["drift", A].passed and found["drift", A].severity == dg.AssetCheckSeverity.WARN
    assert place.select(instance)["rows"].value == 2 * ROWS


def test_limits_that_are_raised_let_the_labels_pass(place, instance):
    place.label(A, B)
    place.says("2", add=30, below=20)
    place.label(A, B)
    assert "moved more" in place.select(instance)
    settings = json.loads(place.home.platform_yaml.read_text())
    settings["checks"] = {"drift": {"psi": 100, "crossing_share": 1}}
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


def test_a_limit_that_is_none_is_refused_by_name(place):
    place.home.platform_yaml.write_text("checks: {drift: {psi: -1}}")
    with pytest.raises(BadInput, match=r"checks\.drift\.psi"):
        place.platform.config()
