"""A table of another format is named or migrated; never read by guess."""

import lance
import pyarrow as pa
import pytest

from lance_assets.errors import BadInput
from lance_assets.store import ledger
from lance_assets.store.migrate import migrate
from lance_assets.store.schema import LEDGER
from lance_assets.store.staleness import stale_cells
from lance_assets.store.table import FORMAT, FORMAT_KEY, format_of, open_images
from lance_assets_tests.labels import SHARP, Labeller
from lance_assets_tests.tables import add_batch

NEW_IN_2 = {"file_sha256", "base", "fields", "attempts", "due", "carried_from", "detail"}


def of_format(root, number: str) -> None:
    lance.dataset(root.images).replace_schema_metadata({FORMAT_KEY: number})


def ledger_of_format_1(root) -> None:
    """The ledger as the first release wrote it: fewer columns, no index, no row about images."""
    rows = ledger.read(root)
    rows = rows.filter(pa.array([name != "image" for name in rows["column"].to_pylist()]))
    old = pa.schema([field for field in LEDGER if field.name not in NEW_IN_2])
    lance.write_dataset(rows.select(old.names), root.ledger, mode="overwrite", schema=old)


@pytest.fixture
def labelled(root):
    add_batch(root, "a", 12, fragments=2)
    Labeller(root)("a", SHARP)
    return root


def test_a_table_of_format_1_is_refused_by_writers_with_the_command_that_migrates_it(labelled):
    of_format(labelled, "1")
    with pytest.raises(BadInput, match=r"format 1.*lance-assets maintain migrate"):
        open_images(labelled)


def test_a_pinned_version_of_format_1_can_still_be_read(labelled):
    of_format(labelled, "1")
    version = lance.dataset(labelled.images).version
    assert open_images(labelled, version).count_rows() == 12


def test_a_table_of_a_newer_format_names_the_newer_release(labelled):
    of_format(labelled, "99")
    with pytest.raises(BadInput, match=r"format 99.*newer release"):
        open_images(labelled)
    with pytest.raises(BadInput, match="format 99"):
        migrate(labelled)


def test_migration_keeps_every_label_explained_and_nothing_becomes_stale(labelled):
    of_format(labelled, "1")
    ledger_of_format_1(labelled)
    before = lance.dataset(labelled.images).to_table(columns=["id", "score_sharp"])
    assert migrate(labelled) == ("1", FORMAT)
    dataset = open_images(labelled)
    assert format_of(dataset) == FORMAT
    assert dataset.to_table(columns=["id", "score_sharp"]).equals(before)
    assert stale_cells(labelled, dataset, "a", [SHARP]) == []
    assert set(ledger.read(labelled).schema.names) == set(LEDGER.names)


def test_labelling_goes_on_after_a_migration(labelled):
    of_format(labelled, "1")
    ledger_of_format_1(labelled)
    migrate(labelled)
    add_batch(labelled, "b", 6)
    labeller = Labeller(labelled)
    for batch in ("a", "b"):
        labeller(batch, SHARP)
    assert labeller.rows == 6


def test_migrating_twice_does_nothing_the_second_time(labelled):
    of_format(labelled, "1")
    migrate(labelled)
    version = open_images(labelled).version
    assert migrate(labelled) == (FORMAT, FORMAT)
    assert open_images(labelled).version == version
