"""The index says what comparing with everything that is taken in would say, whatever came and went."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from lance_assets.store.duplicates import Kind, band_keys, distance
from lance_assets.store.duplicates_bands import DamagedRun, find, write_run
from lance_assets.store.duplicates_index import Index
from lance_assets_tests.lookalikes import LOOKS, hash_of

Said = dict[str, list[tuple[bytes, Kind]]]


def some_file(random: Random) -> list[tuple[bytes, Kind]]:
    """Few families and few groups, so that files say the same of the same."""
    looks = [random.randrange(4) * LOOKS + random.randrange(12) for _ in range(random.randrange(12))]
    prints = [b"=flat" if random.random() < 0.1 else hash_of(look) for look in looks]
    kinds = [Kind("a", "c"), Kind("b", "c"), Kind("a", "c", "id", "sha", 1), Kind("b", "c", "id", "sha", 1)]
    return [(print, random.choice(kinds)) for print in prints]


def by_hand(files: Said, asked: list[bytes], radius: int) -> dict[bytes, set[tuple[int, Kind]]]:
    said = [pair for pairs in files.values() for pair in pairs]
    near = {
        print: {
            (distance(print, other), kind)
            for other, kind in said
            if print == other or (len(print) == len(other) and distance(print, other) <= radius)
        }
        for print in asked
    }
    return {print: kinds for print, kinds in near.items() if kinds}


@pytest.mark.parametrize("seed", range(12))
def test_look_ups_find_what_the_files_say_that_are_there(seed, tmp_path):
    random = Random(seed)
    radius = random.choice([0, 3, 8, 15])
    files: Said = {}
    index = Index(tmp_path, radius)
    for step in range(40):
        if random.random() < 0.6 or not files:
            more = {f"{step}-{number}": some_file(random) for number in range(random.randrange(3))}
            index.take(more)
            files |= more
        else:
            gone = random.choice(list(files))
            index.drop(gone)
            del files[gone]
        if random.random() < 0.2:
            index.close()
            index = Index(tmp_path, radius)
        asked = list(dict.fromkeys([*(print for print, _ in some_file(random)), b"=flat", hash_of(7)]))
        found = index.near(asked, radius)
        assert {print: set(kinds) for print, kinds in found.items()} == by_hand(files, asked, radius)
        assert sorted(index.files()) == sorted(files)
    for name in files:
        index.drop(name)
    assert index.near([hash_of(look) for look in range(12)], radius) == {}


def test_what_many_pictures_say_alike_is_kept_once(tmp_path):
    index = Index(tmp_path, 8)
    for number in range(50):
        index.take({str(number): [(hash_of(0), Kind("a", "a"))] * 100})
    assert index.near([hash_of(0)], 8) == {hash_of(0): [(0, Kind("a", "a"))]}


def test_runs_are_few_and_those_that_were_merged_are_deleted(tmp_path):
    index = Index(tmp_path, 8)
    for number in range(60):
        index.take({str(number): [(hash_of(LOOKS * number), Kind("a", "a"))]})
    assert len(list(tmp_path.glob("*.npy"))) <= 6
    (tmp_path / "left-by-a-kill.npy").write_bytes(b"")
    index.close()
    assert len(Index(tmp_path, 8).near([hash_of(LOOKS * number) for number in range(60)], 8)) == 60
    assert not (tmp_path / "left-by-a-kill.npy").exists()


def test_a_key_with_many_numbers_gives_them_all(tmp_path):
    runs = write_run(tmp_path, [5, 5, 7], [1, 2, 3], write_run(tmp_path, [7] * 20, range(100, 120), []))
    positions, numbers = find(tmp_path, runs, np.array([7, 6, 5]))
    found = sorted(zip(positions.tolist(), numbers.tolist(), strict=True))
    assert found == [(0, 3), *((0, number) for number in range(100, 120)), (2, 1), (2, 2)]


def test_a_run_that_is_gone_is_said_to_be_damaged(tmp_path):
    with pytest.raises(DamagedRun, match=r"nobody.npy"):
        find(tmp_path, ["nobody.npy"], np.array([1]))


@pytest.mark.parametrize("radius", [0, 7, 8, 15])
def test_two_hashes_within_the_radius_have_a_key_in_common(radius):
    random = Random(radius)
    for _ in range(300):
        one = random.randbytes(32)
        other = int.from_bytes(one)
        for bit in random.sample(range(256), radius):
            other ^= 1 << bit
        mine, theirs = band_keys([one, other.to_bytes(32)], radius)
        assert set(mine) & set(theirs)


def test_an_index_for_fewer_bits_refuses_to_look_further(tmp_path):
    with pytest.raises(ValueError, match="for 4 bits"):
        Index(tmp_path, 4).near([hash_of(0)], 5)
