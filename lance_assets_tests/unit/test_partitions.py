"""Batch keys and the ranges that no batch covers."""

import pytest

from lance_assets.errors import BadInput
from lance_assets.partitions import Batch, contiguous, new_batches, uncovered

A, B = "a" * 64, "b" * 64


def keys(batches):
    return [str(batch) for batch in batches]


def test_a_key_parses_back_to_the_same_batch():
    batch = Batch("demo", "0a1b2c3d", 0, 300)
    assert Batch.parse(str(batch)) == batch


@pytest.mark.parametrize(
    "key", ["", "demo", "Demo-0a1b2c3d-0-1", "demo-0a1b-0-1", "demo-0a1b2c3d-5-5", "x' OR 1=1", "demo-0a1b2c3d-0-1\n"]
)
def test_a_key_outside_the_grammar_is_refused(key):
    with pytest.raises(BadInput):
        Batch.parse(key)


def test_gaps_are_what_overlapping_ranges_leave():
    assert list(uncovered(10, [(2, 4), (3, 6), (8, 12)])) == [(0, 2), (6, 8)]


def test_a_fresh_source_is_cut_into_batches_of_the_wanted_size():
    assert keys(new_batches("s", [("a", A, 5)], [], 2)) == ["s-aaaaaaaa-0-2", "s-aaaaaaaa-2-4", "s-aaaaaaaa-4-5"]


def test_a_larger_row_limit_adds_batches_and_touches_none():
    known = new_batches("s", [("a", A, 10)], [], 3, limit=5)
    assert keys(known) == ["s-aaaaaaaa-0-3", "s-aaaaaaaa-3-5"]
    assert keys(new_batches("s", [("a", A, 10)], known, 3, limit=8)) == ["s-aaaaaaaa-5-8"]


def test_a_new_file_adds_only_its_own_rows():
    known = new_batches("s", [("a", A, 4)], [], 4)
    assert keys(new_batches("s", [("a", A, 4), ("b", B, 3)], known, 4)) == ["s-bbbbbbbb-0-3"]


def test_another_batch_size_counts_for_new_ranges_only():
    known = new_batches("s", [("a", A, 10)], [], 4, limit=4)
    assert keys(new_batches("s", [("a", A, 10)], known, 5)) == ["s-aaaaaaaa-4-9", "s-aaaaaaaa-9-10"]


def test_nothing_is_read_once_the_limit_is_covered():
    def never():
        raise AssertionError("the source was read")
        yield

    known = new_batches("s", [("a", A, 10)], [], 5)
    assert new_batches("s", never(), known, 5, limit=10) == []


def test_a_file_that_grew_adds_only_the_rows_behind_those_that_it_had():
    known = new_batches("s", [("rows.jsonl", A, 4)], [], 4)
    paths = {str(batch): "rows.jsonl" for batch in known}
    assert keys(new_batches("s", [("rows.jsonl", B, 6)], known, 4, paths=paths)) == ["s-bbbbbbbb-4-6"]


def test_batches_of_another_source_do_not_count():
    known = [Batch("other", "aaaaaaaa", 0, 10)]
    assert keys(new_batches("s", [("a", A, 2)], known, 5)) == ["s-aaaaaaaa-0-2"]


def test_contiguous_keys_become_one_range_and_gaps_split_them():
    assert contiguous(["a", "b", "d"], ["a", "b", "c", "d"]) == [("a", "b"), ("d", "d")]
