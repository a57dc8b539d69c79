"""What a process remembers of a table must never be an old table."""

from datetime import timedelta

import lance
import pytest

from lance_assets.errors import BadInput
from lance_assets.store.cleanup import cleanup
from lance_assets.store.files import delete, listing
from lance_assets.store.table import ensure_images, exists, open_images, session
from lance_assets_tests.tables import add_batch


def test_a_table_deleted_and_made_anew_at_the_same_place_is_the_new_one(root):
    add_batch(root, "a", 3)
    assert open_images(root).to_table(columns=["id"])["id"].to_pylist() == ["a/0", "a/1", "a/2"]
    for name, _, _ in list(listing(root, "images.lance")):
        delete(root, f"images.lance/{name}")
    assert not exists(root)
    with pytest.raises(BadInput):
        open_images(root)
    add_batch(root, "b", 3)
    assert open_images(root).to_table(columns=["id"])["id"].to_pylist() == ["b/0", "b/1", "b/2"]


def test_what_somebody_else_committed_is_seen_at_once(root):
    ensure_images(root)
    before = open_images(root)
    lance.dataset(root.images).update_config({"somebody": "else"})
    assert open_images(root).version == before.version + 1
    assert before.version == open_images(root, before.version).version


def test_a_version_that_was_cleaned_up_does_not_open_although_it_was_read(root):
    add_batch(root, "a", 2)
    old = open_images(root)
    add_batch(root, "b", 2)
    open_images(root, old.version)
    cleanup(root, older_than=timedelta(0))
    with pytest.raises((ValueError, OSError)):
        open_images(root, old.version)


def test_one_process_shares_one_session():
    assert session() is session()
