"""The split by content group: no two pictures that look alike on different sides, and no old row ever changes side."""

from __future__ import annotations

import itertools
import shutil
from random import Random

import pytest

from lance_assets.errors import BadInput
from lance_assets.store.duplicates import Grouping, Picture, distance
from lance_assets.store.duplicates_index import Index
from lance_assets.store.duplicates_stored import Kind
from lance_assets.store.selection import Groups, pin
from lance_assets_tests.lookalikes import LOOKS, Looker, hash_of, sha_of, sides

FAR = LOOKS
SHARE = 0.4
BELOW = f"{int(SHARE * 16**8):08x}"


@pytest.fixture
def looker(local_root, tmp_path):
    return Looker(local_root, tmp_path / "cache")


def looks_on(side: str, count: int, first: int = 0) -> list[int]:
    """Looks of as many families whose own digest lies on that side."""
    found = (look for look in itertools.count(first * FAR, FAR) if (sha_of(look) < BELOW) == (side == "test"))
    return list(itertools.islice(found, count))


def near(look: int, side: str) -> int:
    """A look of the same family, at most two bits away, whose own digest lies on that side."""
    return next(look + n for n in (1, 2) if (sha_of(look + n) < BELOW) == (side == "test"))


def straddled() -> tuple[int, int]:
    """A look that trains and one like it that would be held out by its own digest."""
    for look in looks_on("train", 50):
        if any(sha_of(look + n) < BELOW for n in (1, 2)):
            return look, near(look, "test")
    raise LookupError("no such pair")


@pytest.mark.parametrize("seed", range(150))
def test_nothing_that_looks_alike_straddles_whatever_comes_in_whatever_order(seed, tmp_path):
    """Rows in random families, in random batches, in any order; any threshold."""
    random = Random(seed)
    radius = random.choice([0, 2, 4, 7])
    families, steps = random.randint(1, 6), random.choice([10, 40, 90])
    looks = [random.randrange(families) * LOOKS + random.randrange(steps) for _ in range(60)]
    pictures = [Picture(str(n), f"{random.getrandbits(256):064x}", n, hash_of(look)) for n, look in enumerate(looks)]
    for _ in range(5):  # the same bytes twice
        pictures.append(replace_id(random.choice(pictures), len(pictures)))
    random.shuffle(pictures)
    index, cells, at = Index(tmp_path, radius), {}, 0
    while at < len(pictures):
        batch = pictures[at : at + random.randint(1, 20)]
        grouped = Grouping(index, radius, "test", {}).cells(batch)
        index.take({str(at): [(one.print, kind_of(one, cell)) for one, cell in zip(batch, grouped, strict=True)]})
        cells |= {one.id: cell for one, cell in zip(batch, grouped, strict=True)}
        at += len(batch)
    pairs = [
        (one, other)
        for one, other in itertools.combinations(pictures, 2)
        if distance(one.print, other.print) <= radius or one.sha256 == other.sha256
    ]
    for below in ("2", "8", "d"):
        side = {id: side_of(cell, below) for id, cell in cells.items()}
        assert not [1 for one, other in pairs if {side[one.id], side[other.id]} == {"train", "test"}]
        assert side == by_hand(pictures, pairs, below)
    firsts = {id: cell["first"] for id, cell in cells.items()}
    for one, cell in ((one, cells[one.id]) for one in pictures):
        if cell["first"] is not None:
            first = next(other for other in pictures if other.id == cell["first"])
            assert firsts[first.id] is None and cell["distance"] == distance(one.print, first.print) <= radius
            assert cell["exact"] == (one.sha256 == first.sha256) and pictures.index(first) < pictures.index(one)
    kept = [one for one in pictures if firsts[one.id] is None]
    assert not [1 for one, other in pairs if one in kept and other in kept]


def replace_id(one: Picture, number: int) -> Picture:
    return Picture(str(number), one.sha256, number, one.hash)


def kind_of(one: Picture, cell: dict) -> Kind:
    if cell["first"] is not None:
        return Kind(cell["low"], cell["high"])
    return Kind(cell["low"], cell["high"], one.id, one.sha256, one.row)


def side_of(cell: dict, below: str) -> str:
    return "train" if cell["low"] >= below else "test" if cell["high"] < below else "excluded"


def by_hand(pictures: list[Picture], pairs: list[tuple[Picture, Picture]], below: str) -> dict[str, str]:
    """Each row in its turn: on the side that all rows before it which it looks like, or are linked by them, lie on;
    excluded exactly where these lie on both."""
    order = {one.id: at for at, one in enumerate(pictures)}
    groups: dict[str, set[str]] = {}
    for one in pictures:
        like = [a if b is one else b for a, b in pairs if one in (a, b)]
        earlier = [groups[other.id] for other in like if order[other.id] < order[one.id]]
        groups[one.id] = set().union(*earlier) or {one.sha256}
    found = {id: {key < below for key in keys} for id, keys in groups.items()}
    return {id: "excluded" if len(s) == 2 else "test" if s == {True} else "train" for id, s in found.items()}


@pytest.mark.parametrize("seed", range(6))
def test_no_old_row_ever_changes_side_whatever_is_stored_labelled_and_pinned_between(looker, seed):
    """A real table: batches of random looks, compared late or again, at other radii, with or without the score."""
    random = Random(seed)
    pinned: dict[str, str] = {}
    stored: list[str] = []
    active = random.random() < 0.5
    for step in range(8):
        batch = f"batch{step}"
        looker.store(batch, [random.randrange(3) * FAR + random.randrange(14) for _ in range(8)])
        stored.append(batch)
        if active:
            looker.radius = random.choice([2, 4, 4, 7]) if random.random() < 0.3 else looker.radius
            looker(*random.sample(stored, len(stored)))
            if random.random() < 0.3:
                looker(random.choice(stored), force=True)
            if random.random() < 0.2:
                shutil.rmtree(looker.cache)
        try:
            manifest = pin(looker.root, None, SHARE, [], looker.groups if active else None)
        except BadInput as error:
            assert "no row to train on" in str(error)
            continue
        now = sides(looker.root, manifest)
        assert {id: side for id, side in now.items() if pinned.get(id, side) != side} == {}
        assert len(now) == sum(manifest["rows"].values())
        if active:
            assert len(now) + sum(manifest["excluded"].values()) == 8 * len(stored)
            assert leaks(looker, now) == []
        pinned |= now
        active = active or random.random() < 0.5


def leaks(looker: Looker, side: dict[str, str]) -> list[tuple[str, str]]:
    hashes = {id: bytes.fromhex(cell["hash"]) for id, cell in looker.cells().items()}
    return [
        (one, other)
        for one, other in itertools.combinations(side, 2)
        if side[one] != side[other] and distance(hashes[one], hashes[other]) <= looker.radius
    ]


def test_copies_lie_on_the_side_of_the_first_whatever_their_own_digest(looker):
    look, copy = straddled()
    other = looks_on("test", 1)[0]
    looker.store("a", [look, other])
    looker.store("b", [copy])
    looker("a", "b")
    manifest = pin(looker.root, None, SHARE, [], looker.groups)
    assert sides(looker.root, manifest) == {"a/0": "train", "a/1": "test", "b/0": "train"}
    assert manifest["split"] == {"by": "content_group", "share": SHARE, "below": BELOW}
    assert manifest["excluded"] == {"bridges_split": 0, "duplicates": 0, "not_grouped": 0}


def bridge() -> tuple[int, int, int]:
    """Looks of one family: one that trains, one that is held out and not like it, and one in between, like both."""
    for family in range(0, 50 * FAR, FAR):
        for left in range(family, family + 60):
            if (sha_of(left) < BELOW) != (sha_of(left + 6) < BELOW):
                return left, left + 6, left + 3
    raise LookupError("no such triple")


def test_a_new_row_that_links_both_sides_is_excluded_and_the_old_ones_stay(looker):
    one, other, between = bridge()
    looker.store("a", [one, other])
    looker("a")
    before = sides(looker.root, pin(looker.root, None, SHARE, [], looker.groups))
    assert set(before.values()) == {"train", "test"}
    looker.store("b", [between, 3 * FAR + 90])
    looker("b")
    manifest = pin(looker.root, None, SHARE, [], looker.groups)
    assert manifest["excluded"]["bridges_split"] == 1
    assert {id: side for id, side in sides(looker.root, manifest).items() if id.startswith("a/")} == before
    assert "b/0" not in sides(looker.root, manifest)


def test_the_score_added_to_an_old_table_moves_no_row_that_was_pinned_by_its_digest(looker):
    look, copy = straddled()
    looker.store("a", [look, copy])
    old = pin(looker.root, None, SHARE, [])
    assert old["split"]["by"] == "image_sha256" and "excluded" not in old
    assert sides(looker.root, old) == {"a/0": "train", "a/1": "test"}
    looker.store("b", [copy, looks_on("test", 1, first=60)[0]])
    looker("a", "b")
    manifest = pin(looker.root, None, SHARE, [], looker.groups)
    assert sides(looker.root, manifest) == {"a/0": "train", "b/1": "test"}
    assert manifest["split"]["below"] == old["split"]["below"]
    assert manifest["excluded"]["bridges_split"] == 2  # a/1 leaves, and so does the copy of it


def test_rows_that_were_not_compared_yet_are_left_out_since_they_might_leak(looker):
    looker.store("a", [0, 1, FAR, 2 * FAR])
    looker.store("b", [3])
    with pytest.raises(BadInput, match="materialize score/duplicate first"):
        pin(looker.root, None, SHARE, [], looker.groups)
    looker("a")
    manifest = pin(looker.root, None, SHARE, [], looker.groups)
    assert manifest["excluded"]["not_grouped"] == 1 and "b/0" not in sides(looker.root, manifest)
    assert "b/0" in sides(looker.root, pin(looker.root, None, SHARE, []))  # nobody compares rows any more


def test_another_radius_compares_all_rows_again_and_moves_none(looker):
    looker.store("a", [0, 6, FAR, 2 * FAR, 3 * FAR])
    looker("a")
    before = sides(looker.root, pin(looker.root, None, SHARE, [], looker.groups))
    looker.radius = 7
    with pytest.raises(BadInput, match="no row to train on"):
        pin(looker.root, None, SHARE, [], looker.groups)
    assert [done.reasons for done in looker("a")] == [["config"]]
    after = sides(looker.root, pin(looker.root, None, SHARE, [], looker.groups))
    assert all(before[id] == side for id, side in after.items())
    assert looker.firsts()["a/1"] == "a/0"


def test_cells_of_another_radius_are_not_compared_with_until_they_are_made_anew(looker):
    looker.store("a", [0, 6])
    looker.store("b", [6])
    looker("a")
    looker.radius = 7
    looker("b")
    assert looker.firsts() == {"a/0": None, "a/1": None, "b/0": None}
    looker("a")
    assert looker.firsts() == {"a/0": "b/0", "a/1": "b/0", "b/0": None}


def test_dropping_leaves_one_of_each_kind(looker):
    looker.store("a", [0, 1, 0, FAR, FAR + 2, 2 * FAR])
    looker("a")
    manifest = pin(looker.root, None, SHARE, [], Groups(looker.scorer.by, drop=True))
    assert set(sides(looker.root, manifest)) == {"a/0", "a/3", "a/5"}
    assert manifest["excluded"] == {"bridges_split": 0, "duplicates": 3, "not_grouped": 0}
