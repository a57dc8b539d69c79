"""What ingesting a batch has to do: nothing that need not be done."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from lance_assets.ingest.changes import STORED, changes
from lance_assets.ingest.conversation import messages
from lance_assets.store.schema import CAPTIONS, IMAGES, REJECTS


def captions(*rows: dict[str, Any]) -> pa.Table:
    base = {
        "caption": "a cow",
        "caption_missing": False,
        "source_path": "a.jsonl",
        "source_sha256": "ab",
        "source_revision": "",
        "row_in_file": 0,
    }
    full = [{**base, "image_url": f"http://h/{row['id']}", **row} for row in rows]
    return pa.Table.from_pylist(full, schema=CAPTIONS)


def stored(**addresses: int) -> pa.Table:
    """Rows as `captions` describes them, at addresses."""
    rows = [
        {
            "id": id,
            "image_url": f"http://h/{id}",
            "messages": messages("a cow"),
            "caption_missing": False,
            "is_placeholder": False,
            "image_sha256": "00",
            "_rowaddr": address,
        }
        for id, address in addresses.items()
    ]
    fields = [IMAGES.field(name) if name in IMAGES.names else pa.field(name, pa.uint64()) for name in STORED]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def refused(*ids: str) -> pa.Table:
    return pa.Table.from_pylist([{"id": id, "image_url": f"http://h/{id}"} for id in ids], schema=REJECTS)


def todo(found: pa.Table) -> list[tuple[str, bool, int | None]]:
    return [(row["id"], row["load"], row["address"]) for row in found.to_pylist()]


SECOND = 1 << 32


def test_rows_that_are_new_are_loaded():
    plan = changes(captions({"id": "a"}, {"id": "b"}), stored(), refused(), ())
    assert todo(plan.write) == [("a", True, None), ("b", True, None)]
    assert (plan.gone, plan.kept, plan.settled) == ([], [], [])


def test_nothing_is_done_about_rows_that_did_not_change():
    plan = changes(captions({"id": "a"}, {"id": "b"}), stored(a=0), refused("b"), ())
    assert plan.nothing and plan.settled == ["b"] and plan.kept == [0]


def test_a_new_row_beside_stored_ones_rewrites_none_of_them():
    plan = changes(captions({"id": "a"}, {"id": "b"}), stored(a=0), refused(), ())
    assert todo(plan.write) == [("b", True, None)]
    assert (plan.gone, plan.kept) == ([], [0])


def test_a_row_of_which_only_the_words_changed_keeps_its_image_and_only_its_fragment_is_written_anew():
    rows = captions({"id": "a", "caption": "a sheep"}, {"id": "b"}, {"id": "c"})
    plan = changes(rows, stored(a=0, b=1, c=SECOND), refused(), ())
    assert todo(plan.write) == [("a", False, 0), ("b", False, 1)]
    assert (plan.gone, plan.kept) == ([0], [1])


def test_a_row_with_another_url_is_loaded_and_may_fall_back_on_the_stored_image():
    rows = captions({"id": "a", "image_url": "http://h/new"}, {"id": "b"})
    plan = changes(rows, stored(a=0, b=SECOND), refused(), ())
    assert todo(plan.write) == [("a", True, 0)]


def test_a_row_whose_server_has_a_new_image_is_loaded():
    plan = changes(captions({"id": "a"}, {"id": "b"}), stored(a=0, b=1), refused(), (), refetched=["b"])
    assert todo(plan.write) == [("a", False, 0), ("b", True, 1)]


def test_a_row_that_the_captions_no_longer_have_leaves_with_its_fragment():
    plan = changes(captions({"id": "b"}), stored(a=0, b=1), refused(), ())
    assert todo(plan.write) == [("b", False, 1)] and plan.gone == [0]


def test_a_reject_is_tried_again_when_asked_for_and_when_its_url_changed():
    rows = captions({"id": "a"}, {"id": "b", "image_url": "http://h/new"}, {"id": "c"})
    plan = changes(rows, stored(), refused("a", "b", "c"), {"a"})
    assert [id for id, _, _ in todo(plan.write)] == ["a", "b"] and plan.settled == ["c"]


def test_a_conversation_of_the_source_is_compared_as_it_is():
    said = [{"role": "user", "content": "<image>Who?"}, {"role": "assistant", "content": "a cow"}]
    plan = changes(captions({"id": "a", "messages": said}), stored(a=0), refused(), ())
    assert todo(plan.write) == [("a", False, 0)]
