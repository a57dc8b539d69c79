"""What was said about the right to use an image: appended, never rewritten; the last word counts."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa

from lance_assets.store.rights import RIGHTS, record_rights, rights, rights_history


def said(id: str, day: int, **facts: object) -> dict[str, object]:
    return {"id": id, "time": datetime(2026, 1, day, tzinfo=UTC), **facts}


def record(root, name, *rows):
    record_rights(root, "a", name, pa.Table.from_pylist(list(rows), schema=RIGHTS))


def test_the_last_word_about_each_row_counts_and_the_history_stays(root):
    record(root, "two", said("x", 2, reason="http_404"), said("z", 2, etag='"z"'))
    record(root, "one", said("x", 1, etag='"x"'), said("y", 1))
    assert [row["id"] for row in rights_history(root, "a").to_pylist()] == ["x", "y", "x", "z"]
    last = {row["id"]: (row["reason"], row["etag"]) for row in rights(root, "a").to_pylist()}
    assert last == {"x": ("http_404", None), "y": (None, None), "z": (None, '"z"')}


def test_a_batch_of_which_nothing_was_asked_has_no_rights(root):
    record(root, "none")
    assert rights(root, "a").num_rows == 0 and rights(root, "a").schema.equals(RIGHTS)


def test_the_same_name_again_says_it_once(root):
    for _ in range(2):
        record(root, "one", said("x", 1))
    assert rights_history(root, "a").num_rows == 1
