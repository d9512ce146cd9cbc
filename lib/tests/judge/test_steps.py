"""Steps of a series: where there is one, where there is none, and how often it is wrong."""

import math
import random

import pytest
from benchbook.judge.steps import steps_of


def series(draw, length, *, cut=None, ratio=1.0, noise=0.01):
    return [math.exp(draw.gauss(0, noise)) * (ratio if cut is not None and at >= cut else 1.0) for at in range(length)]


@pytest.mark.parametrize("length", [5, 6, 8, 12, 30])
def test_a_level_series_steps_in_at_most_5_of_100(length):
    draw = random.Random(length)
    found = sum(bool(steps_of(series(draw, length), 0.05)) for _ in range(300))
    assert found <= 0.05 * 300 + 3 * math.sqrt(0.05 * 0.95 * 300)


@pytest.mark.parametrize(("length", "cut", "ratio"), [(8, 4, 0.95), (8, 2, 1.08), (20, 15, 0.95), (6, 3, 1.1)])
def test_a_step_is_found_where_it_is_and_as_large_as_it_is(length, cut, ratio):
    draw, right = random.Random(1), 0
    for _ in range(50):
        steps = steps_of(series(draw, length, cut=cut, ratio=ratio), 0.05)
        right += [step.place for step in steps] == [cut] and abs(steps[0].ratio / ratio - 1) < 0.03
    assert right >= 40


def test_two_steps_are_both_found_and_told_from_each_other():
    values = [1.0, 1.01, 0.99, 1.0, 1.005, 0.9, 0.905, 0.9, 0.91, 1.2, 1.21, 1.19, 1.2]
    first, second = steps_of(values, 0.01)
    assert (first.place, second.place) == (5, 9)
    assert first.ratio == pytest.approx(0.90, abs=0.01) and second.ratio == pytest.approx(1.33, abs=0.01)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [1.0],
        [1.0] * 8,
        [1.0, 1.0, 2.0, 2.0],  # too few
        [1.0, 1.01, 0.99, 1.0, 1.005, 1.3],  # one run by itself
        [1.0, 1.01, 1.3, 0.99, 1.0, 1.005, 1.01, 0.99],
    ],
)
def test_what_is_no_level_is_no_step(values):
    assert steps_of(values, 0.05) == []
