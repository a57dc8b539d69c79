"""What is made of the hub's list of files, without a hub."""

from __future__ import annotations

import pytest

from lance_assets.errors import BadInput
from lance_assets.sources.modelscope_listing import choose, files_of_split, read_listing

SHA = "ab" * 32
COMMIT = "c0ffee" + "0" * 34


def entry(path, sha256=SHA, **more):
    return {"Path": path, "Type": "blob", "Size": 3, "Sha256": sha256, **more}


def listing(*entries):
    return read_listing(entries, "ns/set")


@pytest.mark.parametrize(
    ("paths", "split", "chosen"),
    [
        (["b.parquet", "a.csv", "README.md"], "train", ["a.csv", "b.parquet"]),
        (["train-0000-of-0013.parquet", "test-0.parquet"], "train", ["train-0000-of-0013.parquet"]),
        (["data/train/0.jsonl", "data/val/0.jsonl"], "validation", ["data/val/0.jsonl"]),
        (["train/test.csv"], "test", ["train/test.csv"]),
        (["training2.csv", "strain.csv"], "train", ["training2.csv"]),
        (["a.parquet"], "test", []),
        (["holdout/a.parquet"], "holdout", ["holdout/a.parquet"]),
    ],
)
def test_a_split_is_found_by_the_words_in_file_and_folder_names(paths, split, chosen):
    assert files_of_split(paths, split) == chosen


@pytest.mark.parametrize(
    "path",
    ["../x.jsonl", "a/../../x.jsonl", "/etc/x.jsonl", "a//x.jsonl", "./x.jsonl", "a\\..\\x.jsonl", "x\n.jsonl", "", 7],
)
def test_a_path_that_could_leave_its_folder_is_refused(path):
    with pytest.raises(BadInput, match=r"the hub lists a file of ns/set with the path .*, which is refused"):
        listing(entry("good.jsonl"), entry(path))


@pytest.mark.parametrize("path", ["a b.jsonl", "图/片 1.jsonl", "..a/b...jsonl", "a[1]*?.jsonl"])
def test_odd_names_that_stay_inside_are_taken(path):
    assert [file.path for file in listing(entry(path)).files] == [path]


def test_the_commit_is_that_of_the_newest_file():
    old, new = entry("a.csv", Revision="1" * 40, CommittedDate=5), entry("b.csv", Revision=COMMIT, CommittedDate=9)
    assert listing(new, old).commit == COMMIT


@pytest.mark.parametrize("revision", ["0" * 40, "", None, "master"])
def test_what_is_no_commit_is_not_taken_for_one(revision):
    assert listing(entry("a.csv", Revision=revision, CommittedDate=5)).commit is None


def test_folders_are_left_out_and_files_without_a_digest_refused():
    found = listing(entry("data", "", Type="tree"), entry("data/a.csv", ""))
    assert [file.path for file in found.files] == ["data/a.csv"]
    with pytest.raises(BadInput, match=r"lists data/a.csv of ns/set without a sha256"):
        choose(found, "ns/set", "train", None)


def test_a_file_without_a_digest_that_nobody_wants_does_no_harm():
    found = listing(entry("train.csv"), entry("README.md", ""), entry("test.csv", ""))
    assert [file.path for file in choose(found, "ns/set", "train", None)] == ["train.csv"]


def test_a_set_of_other_files_counts_as_one_file_that_changes_with_any_of_them():
    (first,) = choose(listing(entry("a.json"), entry("b.zip")), "ns/set", "train", None)
    (same,) = choose(listing(entry("b.zip"), entry("a.json"), entry("README.md", "1" * 64)), "ns/set", "train", None)
    (other,) = choose(listing(entry("a.json"), entry("b.zip", "1" * 64)), "ns/set", "train", None)
    (test,) = choose(listing(entry("a.json"), entry("b.zip")), "ns/set", "test", None)
    assert (first.path, first.whole, test.path) == ("default/train", True, "default/test")
    assert first == same
    assert len({first.sha256, other.sha256, test.sha256}) == 3


def test_an_empty_repository_is_named():
    with pytest.raises(BadInput, match="ns/set has no split 'train'; it holds: no file at all"):
        choose(listing(entry("README.md")), "ns/set", "train", None)
