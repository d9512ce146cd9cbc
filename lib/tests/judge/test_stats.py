"""Ratios of few repeats: estimates, intervals, and what could not have been seen."""

import math
import statistics

import numpy as np
import pytest
from benchbook.judge.stats import POWER, holm, paired_ratio, quantile, unpaired_ratio
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

BASE, OTHER = [100.0, 104.0, 98.0, 101.0], [105.0, 110.0, 102.0, 107.5]
values = st.lists(st.floats(1e-3, 1e6), min_size=3, max_size=3)


def test_a_paired_interval_is_that_of_students_t_on_the_log_ratios():
    theirs = scipy_stats.ttest_rel(np.log(OTHER), np.log(BASE)).confidence_interval(0.95)
    ratio = paired_ratio(BASE, OTHER)
    assert ratio.ratio == pytest.approx(statistics.geometric_mean(OTHER) / statistics.geometric_mean(BASE))
    assert ratio.interval() == pytest.approx((math.exp(theirs.low), math.exp(theirs.high)))


def test_an_unpaired_interval_is_students_with_the_degrees_of_the_smaller_group():
    other = [*OTHER, 120.0]
    welch = scipy_stats.ttest_ind(np.log(other), np.log(BASE), equal_var=False)
    error = (np.log(other).mean() - np.log(BASE).mean()) / welch.statistic
    half = scipy_stats.t.ppf(0.995, len(BASE) - 1) * error
    ratio = unpaired_ratio(BASE, other)
    assert ratio.interval(0.99) == pytest.approx((ratio.ratio * math.exp(-half), ratio.ratio * math.exp(half)))


@pytest.mark.parametrize(("first", "second"), [(3, 3), (3, 8), (8, 3), (5, 20)])
@pytest.mark.parametrize("times_as_noisy", [1, 3])
def test_equal_groups_are_told_apart_in_at_most_5_of_100_cases_however_many_and_noisy_each_is(
    first, second, times_as_noisy
):
    draw = np.random.default_rng(0)
    base, other = (
        np.exp(draw.normal(0, 0.05, (3000, first))),
        np.exp(draw.normal(0, 0.05 / times_as_noisy, (3000, second))),
    )
    apart = sum(unpaired_ratio(one, two).p_value < 0.05 for one, two in zip(base.tolist(), other.tolist()))
    assert scipy_stats.binomtest(apart, 3000, 0.05, alternative="greater").pvalue > 0.01


def test_a_p_value_is_that_of_students_t_and_agrees_with_the_interval():
    ratio = paired_ratio(BASE, OTHER)
    assert ratio.p_value == pytest.approx(scipy_stats.ttest_rel(np.log(OTHER), np.log(BASE)).pvalue)
    assert ratio.interval(1 - ratio.p_value)[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("p_values", "rejected"),
    [
        ([0.01, 0.02, 0.04], [True, True, True]),
        ([0.04, 0.01, 0.02], [True, True, True]),
        ([0.02, 0.03, 0.04], [False, False, False]),
        ([0.01, 0.03, 0.04], [True, False, False]),
        ([], []),
    ],
)
def test_holms_steps_stop_at_the_first_that_fails(p_values, rejected):
    assert holm(p_values, 0.05) == rejected


@pytest.mark.parametrize("compare", [paired_ratio, unpaired_ratio])
def test_one_repeat_has_a_ratio_and_no_interval(compare):
    ratio = compare([100.0], [106.0])
    assert ratio.ratio == pytest.approx(1.06)
    assert ratio.interval() is None and ratio.detectable() is None


@pytest.mark.parametrize("compare", [paired_ratio, unpaired_ratio])
def test_repeats_that_do_not_vary_give_no_certainty(compare):
    assert compare([100.0, 100.0, 100.0], [106.0, 106.0, 106.0]).interval() is None


def test_two_pairs_have_no_interval_however_well_they_agree():
    two = paired_ratio([100.0, 100.0], [105.0, 106.0])
    assert two.interval() is two.p_value is two.detectable() is None
    assert paired_ratio([100.0] * 3, [105.0, 106.0, 105.5]).interval() is not None


def test_drift_that_touches_both_arms_of_a_round_cancels_in_pairs_only():
    drift = [1.0, 0.8, 1.3, 0.9]
    base, other = ([value * share for value, share in zip(arm, drift)] for arm in (BASE, OTHER))
    assert paired_ratio(base, other).interval() == pytest.approx(paired_ratio(BASE, OTHER).interval())
    assert unpaired_ratio(base, other).interval()[0] < 1.0 < paired_ratio(base, other).interval()[0]


@given(values, values)
def test_the_ratio_the_other_way_round_is_the_inverse_with_the_inverse_interval(base, other):
    there, back = paired_ratio(base, other), paired_ratio(other, base)
    assert back.ratio == pytest.approx(1 / there.ratio)
    if there.interval():
        low, high = there.interval()
        assert back.interval() == pytest.approx((1 / high, 1 / low), rel=1e-6)


def test_more_confidence_is_wider_and_sees_less():
    ratio = paired_ratio(BASE, OTHER)
    assert ratio.interval(0.999)[0] < ratio.interval(0.95)[0]
    assert ratio.detectable(0.999) > ratio.detectable(0.95) > 0


def test_a_detectable_difference_is_seen_as_often_as_promised():
    draw, noise, pairs = np.random.default_rng(0), 0.0125 * math.sqrt(2), 8
    half = (quantile(0.975, pairs - 1) + quantile(POWER, pairs - 1)) * noise / math.sqrt(pairs)
    logs = draw.normal(half, noise, (4000, pairs))
    seen = sum(paired_ratio([1.0] * pairs, list(np.exp(row))).interval()[0] > 1.0 for row in logs)
    assert seen / 4000 == pytest.approx(POWER, abs=0.04)


def test_an_interval_beyond_a_factor_of_eleven_is_none():
    """Once a few repeats had a bound of 6e+101, which no reader can use."""
    ratio = paired_ratio([1.0] * 3, [1.0, 1.2, 0.9])
    assert ratio.interval() is not None and ratio.detectable() is not None
    assert ratio.interval(0.9999) is None and ratio.detectable(0.9999) is None
