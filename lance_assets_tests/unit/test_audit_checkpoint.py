"""`audit checkpoint`, and the files beside the weights that it reads."""

import hashlib
import json
from dataclasses import replace

import pytest

from lance_assets.audit.checkpoint import Checkpoint, audit_checkpoint
from lance_assets.audit.checkpoint_words import words
from lance_assets.errors import BadInput
from lance_assets.store.files import DataRoot
from lance_assets.store.selection import pin
from lance_assets.store.table import open_images
from lance_assets.training.artifacts import (
    DIGESTS,
    ENVIRONMENT,
    EVALUATION,
    MANIFEST,
    RECIPE,
    SUMMARY,
    evaluation_of,
    finished,
    latest,
    read_artifacts,
)
from lance_assets_tests.histories import BATCH, eventful
from lance_assets_tests.labels import SHARP, Labeller
from lance_assets_tests.tables import add_batch

CHOSEN = "score_sharp >= 20"
RECIPE_SAID = {"stage": "sft", "seed": 3}
MADE_WITH = {"lance_assets": "0.1.0", "commit": "c0ffee+changes", "python": "3.11.7", "packages": {"torch": "2.14"}}
MADE_WITH |= {"machine": "Linux x86_64"}
EVALUATED = {"rows": 2, "loss": {"base": 2.0, "tuned": 1.0}, "beats_base": True, "verdict": "It reads the screen."}


@pytest.fixture
def root(tmp_path):
    place = DataRoot(tmp_path / "data")
    eventful(place)
    return place


@pytest.fixture
def folder(root, tmp_path):
    """A checkpoint as training leaves it."""
    manifest = pin(root, CHOSEN, 0.2, [SHARP.column])
    place = tmp_path / "checkpoints" / "one" / "model"
    place.mkdir(parents=True)
    digest = hashlib.sha256(json.dumps(RECIPE_SAID, sort_keys=True).encode()).hexdigest()
    summary = {"path": str(place), "base": "tiny", "run_id": "run 7", "steps": 4, "seconds": 9.5, "reader": {}}
    summary |= {"loss_first": 2.5, "loss_last": 1.5, "recipe_sha256": digest}
    files = {SUMMARY: summary, MANIFEST: manifest, RECIPE: RECIPE_SAID, EVALUATION: EVALUATED, ENVIRONMENT: MADE_WITH}
    files[DIGESTS] = {"model.safetensors": hashlib.sha256(b"weights").hexdigest()}
    for name, said in files.items():
        (place / name).write_text(json.dumps(said))
    (place / "model.safetensors").write_bytes(b"weights")
    return place


def audit(root, folder):
    beside = read_artifacts(folder)
    return audit_checkpoint(root, Checkpoint(**{**vars(beside), "path": str(beside.path)}))


def text(found):
    return "\n".join(words(found))


def test_a_checkpoint_names_what_made_it(root, folder):
    found = audit(root, folder.parent)
    assert found["path"] == str(folder) and found["weights"] == {"model.safetensors": 7}
    assert found["manifest"]["filter"] == CHOSEN and found["manifest_intact"] and found["recipe_intact"]
    assert [one["version"] for one in found["scorers"][SHARP.column]] == ["1"]
    assert found["table"] == {"same_rows": True, "rows": found["manifest"]["rows"], "protected": True, "missing": None}
    assert found["environment"] == MADE_WITH and found["evaluation"]["beats_base"] and found["differ"] == []
    said = text(found)
    for word in (
        "run 7",
        "seed 3",
        "beats its base",
        "still there",
        "It reads the screen.",
        "commit c0ffee",
    ):
        assert word in said


def test_what_happened_to_its_rows_since_is_told(root, folder):
    assert audit(root, folder)["head"]["selected"]["train"] == {"added": 0, "removed": 0, "changed": 0, "moved": 0}
    add_batch(root, "more", 6, first=50)
    Labeller(root)("more", SHARP)
    Labeller(root)(BATCH, replace(SHARP, version="2"), run_id="later")
    found = audit(root, folder)
    assert found["table"]["same_rows"] is True
    head, here = found["head"], open_images(root)
    assert head["commits_since"] == here.version - found["manifest"]["version"] and head["table"]["added"] == 6
    before = open_images(root, found["manifest"]["version"])
    for side in ("train", "test"):
        sets = [
            {*one.to_table(columns=["id"], filter=found["manifest"][side])["id"].to_pylist()} for one in (before, here)
        ]
        now = head["selected"][side]
        assert (now["added"], now["removed"]) == (len(sets[1] - sets[0]), len(sets[0] - sets[1]))
    assert {(one["version"], tuple(one["batches"])) for one in head["relabelled"]} == {
        ("1", ("more",)),
        ("2", (BATCH,)),
    }
    assert "relabelled" in text(found) and "sharp 2" in text(found)


def test_rows_that_lost_their_tag_or_their_version_are_told(root, folder):
    tag = read_artifacts(folder).manifest["tag"]
    open_images(root).tags.delete(tag)
    found = audit(root, folder)
    assert found["table"]["protected"] is False and "NO TAG" in text(found)
    manifest = read_artifacts(folder).manifest
    (folder / "manifest.json").write_text(json.dumps({**manifest, "version": 999}))
    gone = audit(root, folder)
    assert gone["table"]["same_rows"] is None and "ROWS GONE" in text(gone)


def test_a_manifest_or_recipe_that_was_changed_is_found_out(root, folder):
    manifest = read_artifacts(folder).manifest
    (folder / "manifest.json").write_text(json.dumps({**manifest, "rows": {"train": 1, "test": 1}}))
    (folder / "recipe.json").write_text(json.dumps({**RECIPE_SAID, "seed": 4}))
    found = audit(root, folder)
    assert (found["manifest_intact"], found["recipe_intact"], found["table"]["same_rows"]) == (False, False, False)
    assert "ROWS DIFFER" in text(found) and text(found).count("DAMAGED") == 2


def test_a_checkpoint_of_an_earlier_release_says_what_it_never_recorded(root, folder):
    for name in (ENVIRONMENT, EVALUATION, DIGESTS):
        (folder / name).unlink()
    said = text(audit(root, folder))
    assert "unrecorded: an earlier release" in said and "not made yet" in said and "no digest was recorded" in said


def test_weights_that_are_not_those_of_their_digest_are_named(root, folder):
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert "NOT what was trained: model.safetensors" in text(audit(root, folder))
    (folder / "model.safetensors").unlink()
    assert audit(root, folder)["differ"] == ["model.safetensors"]


def test_a_column_that_the_filter_needs_and_that_is_gone_is_told(root, folder):
    open_images(root).drop_columns([SHARP.column, f"{SHARP.column}__state"])
    found = audit(root, folder)
    assert found["head"]["selected"] is None and found["head"]["unusable"]
    assert "cannot be used any more" in text(found) and found["table"]["same_rows"] is True


def test_a_folder_that_is_no_checkpoint_is_bad_input(root, folder, tmp_path):
    with pytest.raises(BadInput, match="nowhere is no checkpoint of this platform: it does not exist"):
        read_artifacts(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="no training ended in it"):
        read_artifacts(tmp_path)
    (folder / "evaluation.json").write_text("{")
    with pytest.raises(BadInput, match=r"evaluation.json cannot be read"):
        read_artifacts(folder)


def test_finished_checkpoints_are_found_and_unfinished_ones_are_not(folder, tmp_path):
    (tmp_path / "checkpoints" / "two" / "model").mkdir(parents=True)
    assert finished(tmp_path / "checkpoints") == [folder]
    assert latest(tmp_path / "checkpoints") is None and evaluation_of(folder) == EVALUATED
    assert finished(tmp_path / "nowhere") == []
