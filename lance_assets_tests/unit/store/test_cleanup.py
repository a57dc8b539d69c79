"""Cleanup takes old versions and expired intents; never what a tag, a running writer or a training set holds."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta

import lance
import pytest

from lance_assets.store import ledger
from lance_assets.store.batches import write_fragment
from lance_assets.store.claims import claim
from lance_assets.store.cleanup import RETENTION, cleanup
from lance_assets.store.files import DataRoot, is_piece, listing
from lance_assets.store.fragments import DATA
from lance_assets.store.labelling import label_batch
from lance_assets.store.ledger import Intent
from lance_assets.store.selection import pin
from lance_assets.store.staleness import stale_cells
from lance_assets.store.table import open_images
from lance_assets.store.verify import verify
from lance_assets.store.versions import HOLD, hold, tag
from lance_assets_tests.labels import SHARP, Labeller
from lance_assets_tests.tables import add_batch, image_rows

ALL = timedelta(0)
#: Dies while it writes images of a megabyte each.
KILLED = """
import os, signal, sys
import pyarrow as pa
from lance_assets.store.batches import write_fragment
from lance_assets.store.files import DataRoot
from lance_assets.store.schema import IMAGES
from lance_assets_tests.tables import image_rows
def rows():
    large = pa.array([bytes(1_000_000)] * 8, pa.large_binary())
    for first in range(0, 40, 8):
        yield image_rows("b", 8, first).set_column(3, IMAGES.field("image"), large)
    os.kill(os.getpid(), signal.SIGKILL)
write_fragment(DataRoot(sys.argv[1]), rows())
"""


@pytest.fixture
def labelled(root):
    add_batch(root, "a", 12, fragments=2)
    Labeller(root)("a", SHARP)
    return root


def versions(root):
    return [one["version"] for one in open_images(root).versions()]


def values(root, version=None):
    return open_images(root, version).to_table(columns=["id", "score_sharp"]).sort_by("id")


def test_old_versions_go_and_the_newest_stays_whole(labelled):
    before = values(labelled)
    assert cleanup(labelled, ALL).versions > 0
    assert versions(labelled) == [open_images(labelled).version]
    assert values(labelled).equals(before)
    assert verify(labelled, deep=True).clean


def test_labels_stay_explained_when_all_old_versions_are_gone(labelled):
    cleanup(labelled, ALL)
    assert stale_cells(labelled, open_images(labelled), "a", [SHARP]) == []


def test_a_tagged_version_can_be_read_after_a_relabel_and_a_cleanup(labelled):
    before, version = values(labelled), open_images(labelled).version
    tag(labelled, "before-relabel", version, "to compare with")
    Labeller(labelled)("a", SHARP, force=True)
    add_batch(labelled, "a", 12, first=200, fragments=2)
    done = cleanup(labelled, ALL)
    assert done.kept["before-relabel"] == "to compare with"
    assert values(labelled, "before-relabel").equals(before)
    assert not values(labelled).equals(before)


def test_a_training_set_keeps_its_version(labelled):
    manifest = pin(labelled, "score_sharp >= 0", 0.2, ["score_sharp"])
    add_batch(labelled, "a", 12, first=200, fragments=2)
    done = cleanup(labelled, ALL)
    assert manifest["tag"] in done.kept
    assert open_images(labelled, manifest["tag"]).count_rows("score_sharp >= 0") == sum(manifest["rows"].values())


def test_a_version_that_a_writer_works_from_stays_until_it_is_done(labelled):
    with claim(labelled, "a"), hold(labelled, "a") as dataset:
        add_batch(labelled, "b", 4, first=50)
        tag_time = dataset.version
        assert "a" in cleanup(labelled, ALL, patience=0).busy
        assert tag_time in versions(labelled)
    assert HOLD + "a" not in open_images(labelled).tags.list()
    cleanup(labelled, ALL)
    assert tag_time not in versions(labelled)


@pytest.mark.parametrize("root", ["local"], indirect=True)
def test_the_hold_of_a_writer_that_died_is_dropped(labelled):
    dataset = open_images(labelled)
    dataset.tags.create(HOLD + "a", dataset.version)
    add_batch(labelled, "b", 4, first=50)
    assert cleanup(labelled, ALL).busy == []
    assert HOLD + "a" not in open_images(labelled).tags.list()


def test_a_pass_that_is_cleaned_up_around_ends_as_if_nobody_had(labelled):
    def clean(column: str, fragment: int, rows: int) -> None:
        cleanup(labelled, ALL, patience=0)

    labeller = Labeller(labelled, called=clean)
    [outcome] = labeller("a", SHARP, force=True)
    assert outcome.error is None and outcome.calls == 12
    assert verify(labelled, deep=True).clean


def test_an_intent_goes_when_it_is_old_enough_and_nobody_writes_its_batch(labelled):
    dataset = open_images(labelled)
    [fragment] = write_fragment(labelled, iter([image_rows("a", 3, first=70)]))
    name = lance.fragment.FragmentMetadata.from_json(fragment).files[0].path
    ledger.append(labelled, [Intent.of_images("a", name, 3, "run", ledger.now())])
    assert name in {file for file, _, _ in listing(labelled, DATA)}
    assert cleanup(labelled).expired == []
    with claim(labelled, "a"):
        done = cleanup(labelled, ALL)
        assert (done.expired, done.busy) == ([], ["a"])
    assert cleanup(labelled, ALL).expired == [name]
    assert open_images(labelled).count_rows() == dataset.count_rows()


def test_a_staged_file_that_was_never_announced_is_left_alone(labelled):
    [fragment] = write_fragment(labelled, iter([image_rows("a", 3, first=70)]))
    name = lance.fragment.FragmentMetadata.from_json(fragment).files[0].path
    cleanup(labelled, ALL)
    assert [(one.file, one.announced) for one in verify(labelled).orphans] == [(name, False)]


def test_the_piece_of_an_image_file_whose_writer_was_killed_goes_after_a_week(tmp_path):
    root = DataRoot(tmp_path / "data")
    add_batch(root, "a", 3)
    assert subprocess.run([sys.executable, "-c", KILLED, root.uri], check=False).returncode == -signal.SIGKILL
    [piece] = [name for name, _, _ in listing(root, DATA) if is_piece(name)]
    assert piece not in cleanup(root, ALL).expired
    old = time.time() - (RETENTION + timedelta(hours=1)).total_seconds()
    os.utime(root.folder / DATA / piece, (old, old))
    done = cleanup(root, ALL)
    assert piece in done.expired and done.bytes > 0
    assert not [name for name, _, _ in listing(root, DATA) if is_piece(name)]
    assert open_images(root).count_rows() == 3 and verify(root, deep=True).clean


def test_labelling_again_after_cleanup_scores_nothing(labelled):
    cleanup(labelled, ALL)
    labeller = Labeller(labelled)
    assert [one.calls for one in label_batch(labelled, "a", [SHARP], "run", labeller.jobs([SHARP]))] == [0]
