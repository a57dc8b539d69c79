"""The training set: pinned, split for ever by image digest, the same selection gives the same manifest."""

import pyarrow as pa
import pytest

from lance_assets.errors import BadInput
from lance_assets.store.batches import replace_batch, write_fragment
from lance_assets.store.files import DataRoot
from lance_assets.store.selection import latest_manifest, pin
from lance_assets.store.table import open_images
from lance_assets_tests.tables import add_batch, image_rows


@pytest.fixture
def root(root):
    add_batch(root, "a", 60)
    return root


def side(root, manifest, name):
    table = open_images(root, manifest["tag"]).to_table(columns=["image_sha256"], filter=manifest[name])
    return set(table["image_sha256"].to_pylist())


def test_the_filters_of_the_manifest_select_the_rows_that_it_counts(root):
    manifest = pin(root, "width >= 32", 0.3, [])
    assert {name: len(side(root, manifest, name)) for name in ("train", "test")} == manifest["rows"]
    assert sum(manifest["rows"].values()) == 60


def test_no_row_changes_side_when_rows_are_added(root):
    first = pin(root, None, 0.2, [])
    before = {name: side(root, first, name) for name in ("train", "test")}
    add_batch(root, "b", 60, first=100)
    second = pin(root, None, 0.2, [])
    for name, digests in before.items():
        assert digests <= side(root, second, name)
    assert second["sha256"] != first["sha256"]


def test_the_same_selection_gives_the_manifest_of_then_even_after_another_one(root):
    first = pin(root, None, 0.2, [])
    assert pin(root, None, 0.2, []) == first
    other = pin(root, "id != 'a/0'", 0.2, [])
    assert other["tag"] != first["tag"]
    assert pin(root, None, 0.2, []) == first == latest_manifest(root)
    assert open_images(root).tags.list()[first["tag"]]["version"] == first["version"]


def test_a_small_set_holds_out_at_least_one_row(root):
    small = DataRoot(root.at("small"))
    add_batch(small, "a", 2)
    assert pin(small, None, 0.0001, [])["rows"] == {"train": 1, "test": 1}


@pytest.mark.parametrize(("chosen", "says"), [("no_such_column > 3", "no_such_column"), ("width > 9999", "0 of 60")])
def test_a_filter_that_cannot_be_used_is_named(root, chosen, says):
    with pytest.raises(BadInput, match=says):
        pin(root, chosen, 0.1, [])


def test_a_placeholder_is_selected_only_where_the_filter_speaks_of_it(root):
    rows = image_rows("grey", 5, 200)
    marked = rows.set_column(rows.schema.names.index("is_placeholder"), "is_placeholder", pa.array([True] * 5))
    replace_batch(root, "grey", write_fragment(root, iter([marked])), {})
    assert sum(pin(root, None, 0.2, [])["rows"].values()) == 60
    assert sum(pin(root, "width > 0 OR is_placeholder", 0.2, [])["rows"].values()) == 65
