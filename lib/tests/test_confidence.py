"""How well a mean of repeats is known."""

import random

import pytest
from benchbook.judge.confidence import relative_half_width
from scipy import stats


def test_the_half_width_is_that_of_the_t_interval():
    values = [100.0, 120.0, 107.0, 95.0]
    low, high = stats.t.interval(0.95, 3, loc=105.5, scale=stats.sem(values))
    assert relative_half_width(values) == pytest.approx((high - low) / 2 / 105.5)


def test_one_repeat_and_none_are_known_not_at_all():
    assert relative_half_width([]) is None and relative_half_width([3.0]) is None
    assert relative_half_width([3.0, None]) is None


def test_equal_repeats_are_known_exactly_and_a_mean_of_zero_has_no_share():
    assert relative_half_width([3.0, 3.0]) == 0.0
    assert relative_half_width([-1.0, 1.0]) is None


def test_the_true_mean_is_inside_nineteen_times_in_twenty():
    draw, inside = random.Random(0), 0
    for _ in range(2000):
        values = [draw.gauss(100.0, 5.0) for _ in range(4)]
        mean = sum(values) / 4
        inside += abs(mean - 100.0) <= relative_half_width(values) * mean
    assert inside / 2000 == pytest.approx(0.95, abs=0.015)
