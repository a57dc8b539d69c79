"""Old labels against new ones: known values, and what a filter compares."""

import numpy as np
import pytest

from lance_assets.store.comparison import agreement, crossings, largest_moves, psi, thresholds

HALVES = [0.0] * 50 + [1.0] * 50


def test_the_same_distribution_has_no_index_whatever_its_order():
    values = list(np.random.default_rng(0).normal(50, 10, 500))
    assert psi(values, values[::-1]) == 0


def test_the_index_of_two_halves_that_become_quarters_is_the_textbook_value():
    moved = [0.0] * 25 + [1.0] * 75
    assert psi(HALVES, moved) == pytest.approx(0.25 * np.log(0.75 / 0.5) + -0.25 * np.log(0.25 / 0.5))
    assert psi(
        ["a" if value else "b" for value in HALVES], ["a" if value else "b" for value in moved]
    ) == pytest.approx(psi(HALVES, moved))


def test_the_index_of_deciles_that_move_up_by_one_is_the_sum_over_two_bins():
    before = list(np.arange(100.0))
    after = [
        value + 10 for value in before
    ]  # the lowest bin is empty now and counts as half a row, the top one doubles
    expected = (0.005 - 0.1) * np.log(0.005 / 0.1) + (0.2 - 0.1) * np.log(0.2 / 0.1)
    assert psi(before, after) == pytest.approx(expected)


def test_a_constant_column_that_moves_has_an_index():
    assert psi([50.0] * 40, [60.0] * 40) > 1
    assert psi([50.0] * 40, [50.0] * 40) == 0


def test_nothing_compared_with_nothing_has_no_index():
    assert psi([], []) == 0 == psi([1.0], [])


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ("score_a >= 40", [(">=", 40.0)]),
        ("40 <= score_a AND score_ab > 3", [(">=", 40.0)]),
        ("score_a BETWEEN 1.5 and 2e1 or score_b = 1", [(">=", 1.5), ("<=", 20.0)]),
        ("score_a = 'en' AND NOT is_placeholder", [("=", "en")]),
        ("score_a<-1", [("<", -1.0)]),
        ("score_ab > 3 AND width > score_a", []),
        (None, []),
    ],
)
def test_the_thresholds_of_a_column_are_read_from_the_filter(filter, found):
    assert thresholds(filter, "score_a") == found


def test_rows_that_cross_are_counted_by_side_and_a_lost_label_falls_out():
    before, after = [39.0, 41.0, 50.0, None, 45.0], [41.0, 39.0, 60.0, 80.0, None]
    assert crossings(before, after, [(">=", 40.0)]) == (2, 2)
    assert crossings(before, after, []) == (0, 0)
    assert crossings(["en", "de"], ["de", "de"], [("=", "en")]) == (1, 0)


def test_agreement_tells_shares_shift_and_correlation():
    told = agreement([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 8.0])
    assert told["same"] == 0.75 and told["mean_shift"] == 1
    assert told["correlation"] == pytest.approx(float(np.corrcoef([1, 2, 3, 4], [1, 2, 3, 8])[0, 1]))
    assert "correlation" not in agreement([5.0, 5.0], [1.0, 2.0])
    assert agreement(["a", "b"], ["a", "c"]) == {"same": 0.5}
    assert agreement([], []) == {}


def test_the_largest_moves_come_first_and_rows_that_stayed_are_left_out():
    assert largest_moves([1.0, 2.0, None, 4.0], [1.0, 9.0, 5.0, 3.0]) == [2, 1, 3]
    assert largest_moves([1.0] * 20, [2.0] * 20, 3) == [0, 1, 2]
