"""Batches and score columns in Lance: published once, never rewritten, guarded against what Lance accepts blindly."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from lance_assets.store import ledger
from lance_assets.store.batches import replace_batch, write_fragment
from lance_assets.store.claims import Busy, claim
from lance_assets.store.columns import Superseded, ensure_columns
from lance_assets.store.files import DataRoot
from lance_assets.store.staging import BadStage, FragmentGone, publish, stage
from lance_assets.store.staleness import Identity, stale_cells
from lance_assets.store.table import batch_fragments, ensure_images, open_images
from lance_assets_tests.tables import add_batch, image_rows

SHARP = Identity("score_sharp", "sharp", "1", "c0ffee", ("image",))


@pytest.fixture
def root(tmp_path):
    return DataRoot(tmp_path / "data")


def checksums(root: DataRoot) -> dict[str, str]:
    files = sorted((Path(root.images) / "data").iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def score(root: DataRoot, batch: str, value: float, identity: Identity = SHARP) -> None:
    dataset = ensure_columns(root, [identity.column])
    staged = []
    wanted = set(batch_fragments(dataset, batch))
    for fragment in dataset.get_fragments():
        if fragment.fragment_id in wanted:
            rows = fragment.count_rows()
            staged.append(
                stage(dataset, fragment.fragment_id, identity.column, np.full(rows, value), np.zeros(rows, np.uint8))
            )
    ledger.append(root, [announced(one, batch, identity) for one in staged])
    publish(root, staged, {})


def announced(staged, batch, identity):
    from datetime import UTC, datetime

    return ledger.Intent(
        column=identity.column,
        batch=batch,
        fragment=staged.fragment,
        scorer=identity.scorer,
        version=identity.version,
        config_hash=identity.config_hash,
        input_digest="digest",
        planned_file=staged.name,
        rows_ok=staged.physical_rows,
        rows_failed_transient=0,
        rows_failed_permanent=0,
        rows_refused=0,
        read_version=staged.read_version,
        run_id="run",
        started=datetime.now(UTC),
    )


def test_writing_a_batch_again_leaves_no_duplicate(root):
    add_batch(root, "a", 10)
    add_batch(root, "b", 5)
    add_batch(root, "a", 10)
    ids = open_images(root).to_table(columns=["id"])["id"].to_pylist()
    assert len(ids) == len(set(ids)) == 15


def test_a_batch_that_lost_all_its_rows_leaves_none_behind(root):
    add_batch(root, "a", 10)
    replace_batch(root, "a", [], {})
    assert open_images(root).count_rows() == 0


def test_labelling_writes_one_small_file_per_fragment_and_changes_none(root):
    add_batch(root, "a", 40, fragments=2)
    before = checksums(root)
    score(root, "a", 50.0)
    after = checksums(root)
    assert {name: after[name] for name in before} == before
    new = [Path(root.images) / "data" / name for name in after if name not in before]
    assert len(new) == 2 and all(file.stat().st_size < 5_000 for file in new)


def test_a_second_batch_can_be_labelled_after_the_first(root):
    add_batch(root, "a", 10)
    score(root, "a", 1.0)
    add_batch(root, "b", 10)
    score(root, "b", 2.0)
    table = open_images(root).to_table(columns=["batch", "score_sharp"])
    assert set(zip(table["batch"].to_pylist(), table["score_sharp"].to_pylist(), strict=True)) == {
        ("a", 1.0),
        ("b", 2.0),
    }


def test_nan_is_stored_as_null_and_its_state_tells_why(root):
    add_batch(root, "a", 3)
    dataset = ensure_columns(root, ["score_sharp"])
    staged = stage(
        dataset, batch_fragments(dataset, "a")[0], "score_sharp", np.array([1, np.nan, 3]), np.array([0, 2, 0])
    )
    table = publish(root, [staged], {}).to_table(columns=["score_sharp", "score_sharp__state"])
    assert table["score_sharp"].to_pylist() == [1.0, None, 3.0]
    assert table["score_sharp__state"].to_pylist() == [0, 2, 0]


@pytest.mark.parametrize("rows", [9, 11])
def test_a_short_or_long_column_is_refused_before_it_is_published(root, rows):
    add_batch(root, "a", 10)
    dataset = ensure_columns(root, ["score_sharp"])
    with pytest.raises(BadStage, match="10 rows"):
        stage(dataset, batch_fragments(dataset, "a")[0], "score_sharp", np.zeros(rows), np.zeros(rows))


def test_publishing_over_somebody_elses_newer_score_is_superseded(root):
    add_batch(root, "a", 10)
    dataset = ensure_columns(root, ["score_sharp"])
    number = batch_fragments(dataset, "a")[0]
    mine, other = (stage(dataset, number, "score_sharp", np.full(10, v), np.zeros(10)) for v in (1.0, 2.0))
    publish(root, [other], {})
    with pytest.raises(Superseded):
        publish(root, [mine], {})
    assert open_images(root).to_table(columns=["score_sharp"])["score_sharp"].to_pylist() == [2.0] * 10


def test_publishing_for_a_batch_that_was_replaced_says_so(root):
    add_batch(root, "a", 10)
    dataset = ensure_columns(root, ["score_sharp"])
    staged = stage(dataset, batch_fragments(dataset, "a")[0], "score_sharp", np.zeros(10), np.zeros(10))
    replace_batch(root, "a", write_fragment(root, iter([image_rows("a", 10, first=100)])), {})
    with pytest.raises(FragmentGone):
        publish(root, [staged], {})


def test_columns_of_two_writers_land_side_by_side(root):
    add_batch(root, "a", 10)
    dataset = ensure_columns(root, ["score_sharp", "score_light"])
    number = batch_fragments(dataset, "a")[0]
    staged = [stage(dataset, number, name, np.full(10, 7.0), np.zeros(10)) for name in ("score_sharp", "score_light")]
    for one in staged:
        publish(root, [one], {})
    table = open_images(root).to_table(columns=["score_sharp", "score_light"])
    assert table["score_sharp"].to_pylist() == table["score_light"].to_pylist() == [7.0] * 10


def test_only_unscored_changed_or_reconfigured_cells_are_stale(root):
    add_batch(root, "a", 10)

    def reasons(identity):
        return [cell.reason for cell in stale_cells(root, open_images(root), "a", [identity])]

    assert reasons(SHARP) == ["new"]
    score(root, "a", 1.0)
    assert reasons(SHARP) == []
    assert reasons(Identity("score_sharp", "sharp", "2", "c0ffee", ("image",))) == ["version"]
    assert reasons(Identity("score_sharp", "sharp", "1", "beef", ("image",))) == ["config"]
    add_batch(root, "a", 10, first=50)
    assert reasons(SHARP) == ["new"]


def test_a_file_that_nobody_announced_is_stale_because_it_cannot_be_explained(root):
    add_batch(root, "a", 4)
    dataset = ensure_columns(root, ["score_sharp"])
    publish(root, [stage(dataset, batch_fragments(dataset, "a")[0], "score_sharp", np.zeros(4), np.zeros(4))], {})
    assert [cell.reason for cell in stale_cells(root, open_images(root), "a", [SHARP])] == ["unknown"]


def test_a_claim_is_held_by_one_writer_at_a_time(root):
    root.path.mkdir(parents=True)
    with claim(root, "a"), pytest.raises(Busy, match="a is being written"), claim(root, "a", timeout=0.05):
        raise AssertionError("two writers held one claim")


def test_creating_the_table_twice_keeps_it(root):
    ensure_images(root)
    add_batch(root, "a", 2)
    ensure_images(root)
    assert open_images(root).count_rows() == 2
