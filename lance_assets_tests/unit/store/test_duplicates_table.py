"""Duplicates across batches of a real table: found whatever came between, grouped once, never by an outdated look."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence

import pyarrow as pa
import pytest

from lance_assets.compute.duplicates import find_duplicates
from lance_assets.scoring.duplicate import Duplicate, DuplicateConfig
from lance_assets.store.batches import replace_batch, write_fragment
from lance_assets.store.compact import compact
from lance_assets.store.duplicates import COLUMN
from lance_assets.store.duplicates_index import Index
from lance_assets.store.files import write
from lance_assets.store.fragments import DATA
from lance_assets.store.intents import Part
from lance_assets.store.schema import IMAGES
from lance_assets.store.table import ensure_images, open_images
from lance_assets.store.verify import relabel, verify
from lance_assets_tests.lookalikes import Looker, PassFailed, hash_here, sha_of
from lance_assets_tests.unit.store import scenes

FAR = 100


@pytest.fixture
def root(local_root):
    """Comparing rows knows nothing of where they lie."""
    return local_root


class Killed(BaseException):
    """What a pass does not live to see."""


@pytest.fixture
def looker(root, tmp_path):
    return Looker(root, tmp_path / "cache")


def index(looker: Looker) -> dict[bytes, list]:
    """What the one index file says of every print in it."""
    [folder] = looker.cache.iterdir()
    opened = Index(folder, looker.radius)
    prints = [print for [print] in opened.db.execute("SELECT value FROM prints")]
    found = {print: sorted(map(repr, kinds)) for print, kinds in opened.near(prints, looker.radius).items()}
    opened.close()
    return found


def test_copies_in_other_batches_are_found_and_the_first_is_named(looker):
    looker.store("a", [0, FAR])
    looker("a")
    looker.store("b", [3, FAR, 2 * FAR], [4])
    [done] = looker("b")
    assert looker.firsts() == {"a/0": None, "a/1": None, "b/0": "a/0", "b/1": "a/1", "b/2": None, "b/3": "a/0"}
    cells = looker.cells()
    assert [(cells[id]["distance"], cells[id]["exact"]) for id in ("b/0", "b/1", "b/3")] == [
        (3, False),
        (0, True),
        (4, False),
    ]
    assert {cells[id]["low"] for id in ("a/0", "b/0", "b/3")} == {cells["b/0"]["high"]} == {sha_of(0)}
    assert cells["b/2"]["low"] == cells["b/2"]["high"] == sha_of(2 * FAR)
    assert (done.calls, len(done.pairs)) == (4, 3)
    assert verify(looker.root).clean


def test_rows_of_one_batch_see_those_before_them(looker):
    looker.store("a", [0, 2], [1, FAR, FAR])
    looker("a")
    assert looker.firsts() == {"a/0": None, "a/1": "a/0", "a/2": "a/0", "a/3": None, "a/4": "a/3"}


def test_a_chain_is_one_group_but_what_is_too_far_from_the_first_is_a_first_itself(looker):
    looker.store("a", [0, 4, 8, 12])
    looker("a")
    assert looker.firsts() == {"a/0": None, "a/1": "a/0", "a/2": None, "a/3": "a/2"}
    assert {cell["low"] for cell in looker.cells().values()} == {sha_of(0)}


def test_nothing_stale_means_no_call_no_claim_and_no_index(looker):
    looker.store("a", [0, 1])
    looker("a")
    version = open_images(looker.root).version
    shutil.rmtree(looker.cache)
    assert [done.calls for done in looker("a")] == [0]
    assert not looker.cache.exists() and open_images(looker.root).version == version


def test_two_batches_at_once_see_each_other(looker):
    looker.store("a", [0, FAR])
    looker.store("b", [1, FAR])
    both = threading.Barrier(2)

    def together(root, version, jobs, scorer):
        both.wait(60)  # both are planned and hashed before either is compared
        return hash_here(root, version, jobs, scorer)

    passes = [Looker(looker.root, looker.cache, hashing=together) for _ in "ab"]
    threads = [threading.Thread(target=one, args=(batch,)) for one, batch in zip(passes, "ab", strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    firsts = looker.firsts()
    later = "b" if firsts["b/0"] else "a"
    assert {row: first for row, first in firsts.items() if first} == {
        f"{later}/{number}": f"{'a' if later == 'b' else 'b'}/{number}" for number in (0, 1)
    }


def test_what_a_killed_pass_announced_is_never_published_after_another_batch(looker, monkeypatch):
    looker.store("a", [0, FAR])
    looker.store("b", [1])

    def killed(column: str, parts: Sequence[Part]) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("lance_assets.compute.duplicates.not_broken", killed)
        looker("a")
    looker("b")
    [done] = looker("a")
    assert done.calls == 2
    assert looker.firsts() == {"a/0": "b/0", "a/1": None, "b/0": None}
    assert verify(looker.root).clean


def test_the_index_follows_compaction_and_replaced_batches_and_a_new_one_says_the_same(looker):
    looker.store("a", [0, 1], [2, FAR])
    looker.store("b", [FAR + 1, 20])
    looker.store("e", [5 * FAR])
    looker("a", "b", "e")
    compact(looker.root)
    looker.store("b", [FAR + 1, 7 * FAR])  # one picture changed: its cell goes, the other one's is carried over
    looker.store("c", [20, 7 * FAR])
    looker("b", "c")
    looker.store("d", [9 * FAR])
    looker("d")
    followed = index(looker)
    shutil.rmtree(looker.cache)
    looker("d", force=True)
    assert index(looker) == followed
    assert [looker.firsts()[row] for row in ("b/0", "c/0", "c/1")] == ["a/3", None, "b/1"]


def test_a_damaged_index_is_made_anew(looker):
    looker.store("a", [0])
    looker("a")
    looker.store("b", [1, 2])
    [folder] = looker.cache.iterdir()
    for pattern, keep in (("*.sqlite", 0), ("*.sqlite", 4096), ("*.npy", 0), ("*.npy", 130), ("*.npy", -1)):
        [path] = folder.glob(pattern)
        if keep < 0:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:keep] + b"no database" * 2000 * pattern.endswith("sqlite"))
        looker("b", force=True)
        assert looker.firsts()["b/0"] == "a/0"


def test_cells_that_cannot_be_read_stop_others_until_they_are_marked_and_are_then_made_anew(looker):
    looker.store("a", [0])
    looker.store("b", [FAR])
    looker("a")
    looker("b")
    files = dict(scenes.fragments(looker.root))
    for number in files:
        write(looker.root, f"{DATA}/{files[number][-1]}", b"damaged")
    shutil.rmtree(looker.cache)
    looker.store("c", [1])
    with pytest.raises(PassFailed, match="maintain verify"):
        looker("c")
    relabel(looker.root, verify(looker.root).problems)
    looker("c")
    looker("a")
    looker("b")
    assert looker.firsts() == {"a/0": "c/0", "b/0": None, "c/0": None}
    assert verify(looker.root).clean


def test_a_row_that_cannot_be_hashed_fails_alone(looker):
    ensure_images(looker.root)
    rows = scenes.rows_of("a", scenes.numbered(2)).to_pylist()
    rows[0]["image"] = b"no picture"
    replace_batch(looker.root, "a", write_fragment(looker.root, iter([pa.RecordBatch.from_pylist(rows, IMAGES)])), {})
    real = Duplicate(DuplicateConfig(radius=4))
    [done] = find_duplicates(looker.root, ["a"], real, "run", looker.said.append, looker.cache, hash_here)
    assert (done.failure, done.states["ok"], done.states["failed_permanent"]) == (None, 1, 1)
    assert "cannot be decoded" in str(done.message)
    assert scenes.values(looker.root, COLUMN)["a/0"] is None
