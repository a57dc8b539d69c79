"""`lance-assets maintain` on a home whose table has a history."""

from lance_assets.store.claims import claim
from lance_assets.store.columns import column_file
from lance_assets.store.files import DataRoot
from lance_assets.store.provenance import find
from lance_assets.store.table import batch_fragments, open_images
from lance_assets_tests.cli.history import OTHER
from lance_assets_tests.histories import BATCH, FAILS
from lance_assets_tests.labels import SHARP, WORDS, Labeller


def damage(root: DataRoot) -> None:
    """Spoils the file of score_sharp that answers for row 1."""
    dataset = open_images(root)
    [place] = find(dataset, FAILS)
    file = column_file(dataset, dataset.get_fragment(place.fragment), SHARP.column)
    (root.folder / "images.lance/data" / str(file)).write_bytes(b"rubbish")


def test_verify_names_the_cells_to_relabel_and_they_are_relabelled(root, run):
    damage(root)
    ended = run("maintain verify --relabel")
    [line] = [line for line in ended.out if line.startswith("relabel")]
    assert ended.code == 1 and SHARP.column in line and BATCH in line and "unreadable" in line
    assert run("maintain verify --json").json()["clean"] is False
    labeller = Labeller(root)
    labeller(BATCH, SHARP, WORDS)
    assert labeller.calls == [(SHARP.column, batch_fragments(open_images(root), BATCH)[0], 5)]
    ended = run("maintain verify --json")
    assert (ended.code, ended.json()["clean"], ended.json()["problems"]) == (0, True, [])


def test_compaction_of_one_batch_leaves_the_others_alone(root, run):
    assert run(f"maintain compact --batch {BATCH}").code == 0
    dataset = open_images(root)
    assert [len(batch_fragments(dataset, key)) for key in (BATCH, OTHER)] == [1, 2]
    assert run(f"maintain compact --batch {BATCH}").out == ["nothing to compact"]


def test_a_batch_that_somebody_writes_is_left_alone_by_cleanup(root, run):
    with claim(root, BATCH):
        open_images(root).tags.create(f"hold-{BATCH}", open_images(root).version)
        assert f"left alone  {BATCH}: somebody works on it" in run("maintain cleanup --older-than 0").out
    assert run("maintain cleanup --older-than 0 --json").json()["busy"] == []
