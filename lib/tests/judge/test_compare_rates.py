"""Comparisons of synthetic launches with a known difference: how often the claims are right.

A launch against itself, and a planted 5 % and 1 %: hundreds of comparisons each, with drift, luck of the start and outliers.
The seeds are fixed, so the counts are too; the limits are those of the promise and not of one lucky draw.
"""

import sys
from pathlib import Path

import pytest
from benchbook.plan.experiment import COMPARISON_REPEATS
from rows import IS_FULL
from scipy.stats import binom

COMPARISONS, FEW = (300, 100) if IS_FULL else (60, 50)


@pytest.fixture(scope="module")
def bench():
    """Return the module of lib/proofs that simulates comparisons."""
    folder = str(Path(__file__).parents[2] / "proofs")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        import false_claims

        yield false_claims
    del sys.modules["false_claims"]


@pytest.fixture(scope="module")
def equal(bench):
    """Return comparisons of a launch with itself."""
    return list(bench.simulated(bench.CASES, 1.0, COMPARISONS, COMPARISON_REPEATS, seed=0))


@pytest.fixture(scope="module")
def rates(bench):
    return bench.rates(COMPARISONS, COMPARISON_REPEATS, seed=0)


def test_equal_launches_are_called_different_in_at_most_5_of_100_whole_comparisons(rates):
    assert rates["A/A: comparisons with any claim"]["of"] == COMPARISONS
    assert rates["A/A: comparisons with any claim"]["rate"] <= 0.05


def test_without_allowing_for_all_comparisons_most_equal_launches_would_differ_somewhere(equal):
    naive = [any(not row.interval[0] <= 1 <= row.interval[1] for row in comparison.rows) for comparison in equal]
    assert sum(naive) / COMPARISONS > 0.5


def test_measured_one_after_the_other_equal_launches_would_be_called_different_far_too_often(bench):
    """The twin of the first test: the same noise, but all rounds of one launch before those of the other."""
    import random

    draw, claims = random.Random(0), 0
    for _ in range(FEW):
        together = bench.records_of_two(bench.CASES, 1.0, 2 * COMPARISON_REPEATS, draw)["a"]
        late = [record for record in together if record.identity.repeat >= COMPARISON_REPEATS]
        early = [record for record in together if record.identity.repeat < COMPARISON_REPEATS]
        claims += bool(bench.compare(early, late, ("a", "b"), is_paired=False).claims)
    assert claims > 0.15 * FEW


def test_a_planted_5_percent_is_found_in_nine_of_ten(rates):
    assert rates["5 %, one case: found"]["rate"] >= 0.90
    assert rates["5 %, seven cases: found over the serve cases together"]["rate"] >= 0.90
    assert rates["5 %, seven cases: found in each case"]["rate"] >= 0.90


def test_starts_that_vary_hide_no_difference_that_ten_cases_share_and_make_none(rates):
    assert rates["5 %, ten cases, starts 2 %: found over all together"]["rate"] >= 0.90
    assert rates["A/A, ten cases, starts 2 %: comparisons with any claim"]["rate"] <= 0.05


def test_ten_cases_tested_beside_each_other_would_find_that_difference_far_less_often(bench):
    """The twin of the test before: the headline over all cases against what Holm's first step asks of eleven rows."""
    found = bench.simulated(bench.TEN, 1.05, FEW, COMPARISON_REPEATS, 3, bench.UNEVEN_START)
    p_values = [comparison.rows[0].ratio.p_value for comparison in found]
    assert (
        sum(p_value <= 0.025 / 11 for p_value in p_values) < 0.8 * FEW < sum(p_value <= 0.025 for p_value in p_values)
    )


def test_a_planted_1_percent_is_covered_and_not_claimed_as_more_than_it_is(rates):
    assert rates["1 %: headline intervals that cover it"]["rate"] >= 0.95
    assert rates["1 %: comparisons that claim more than it is"]["rate"] <= 0.05


@pytest.mark.parametrize("repeats", [2, 3, 5])
def test_fewer_repeats_see_less_and_claim_no_more_that_is_false(bench, repeats):
    found = bench.simulated(bench.CASES, 1.0, FEW, repeats, seed=repeats)
    most = binom.ppf(0.97, FEW, 0.05)
    assert sum(bool(comparison.claims) for comparison in found) <= most, (
        "5 % expected at most; so few in 97 of 100 tests"
    )
