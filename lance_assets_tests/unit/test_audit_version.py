"""`audit version`: of versions that are there, that are tagged, and that were cleaned up."""

from datetime import timedelta

import pytest

from lance_assets.audit.version import audit_version, words
from lance_assets.errors import BadInput
from lance_assets.store.cleanup import cleanup
from lance_assets.store.files import DataRoot
from lance_assets.store.selection import pin
from lance_assets.store.table import open_images
from lance_assets.store.versions import tag
from lance_assets_tests.histories import BATCH, eventful
from lance_assets_tests.labels import SHARP

PUBLISHED, REPLACED = 5, 8


@pytest.fixture
def root(tmp_path):
    place = DataRoot(tmp_path / "data")
    eventful(place)
    return place


def text(found):
    return "\n".join(words(found))


def test_a_version_tells_its_time_its_commit_its_run_and_what_changed(root):
    found = audit_version(root, PUBLISHED)
    assert (found["operation"], found["runs"], found["rows"]) == ("cells were published", ["first"], 10)
    assert found["compared_with"] == PUBLISHED - 1 and found["time"].endswith("Z")
    assert [(one["column"], one["cells"]) for one in found["changes"]["cells"]] == [(SHARP.column, 10)]
    replaced = audit_version(root, REPLACED)
    assert (replaced["operation"], replaced["runs"]) == ("a batch was replaced", ["download again"])
    assert replaced["changes"]["rows"][BATCH] == {"added": 0, "removed": 0, "changed": 1, "moved": 4}
    said = text(replaced)
    assert "against    version 7" in said and BATCH in said and "sharp 1" in said


def test_the_training_set_that_pins_a_version_is_named(root):
    manifest = pin(root, f"{SHARP.column} >= 0", 0.2, [SHARP.column])
    found = audit_version(root, manifest["version"])
    assert found["tags"] == {manifest["tag"]: f"training set {manifest['tag']}"}
    assert found["training_sets"][0]["rows"] == manifest["rows"]
    assert manifest["tag"] in text(found)


def test_of_a_version_that_is_gone_the_ledger_still_knows_who_worked_around_it(root):
    tag(root, "keep", PUBLISHED - 1, "why not")
    cleanup(root, timedelta(0))
    found = audit_version(root, REPLACED)
    assert (found["kept"], found["older"], found["newer"]) == (False, PUBLISHED - 1, open_images(root).version)
    assert {(one["column"], one["run_id"]) for one in found["read_by"]} == {
        ("score_sharp", "third"),
        ("score_words", "third"),
    }
    announced = {(one["column"], one["run_id"]) for one in found["announced_between"]}
    assert {("score_sharp", "second"), ("image", "download again")} <= announced
    assert ("image", "download") not in announced
    assert found["existed_by"] <= found["newer_time"]
    said = text(found)
    assert "GONE" in said and f"version {PUBLISHED - 1} of" in said and "download" in said


def test_a_version_whose_predecessors_are_gone_tells_what_its_own_commit_says(root):
    tag(root, "keep", PUBLISHED, "why not")
    cleanup(root, timedelta(0))
    found = audit_version(root, PUBLISHED)
    assert found["compared_with"] is None
    assert [(one["column"], one["cells"], one["runs"]) for one in found["changes"]["cells"]] == [
        (SHARP.column, 10, ["first"])
    ]
    assert "its own commit" in text(found)
    newest = audit_version(root, open_images(root).version)
    assert newest["compared_with"] == PUBLISHED and "between them are cleaned up" in text(newest)


def test_the_first_version_has_nothing_before_it_and_a_number_that_never_was_is_bad_input(root):
    assert "nothing before it" in text(audit_version(root, 1))
    for number in (0, 99):
        with pytest.raises(BadInput, match=f"there is no version {number} of .*: it has versions 1 to 10"):
            audit_version(root, number)
