"""How well a mean is known whose interval is looked at after every round."""

import statistics
import sys
from pathlib import Path

import pytest
from benchbook.judge.confidence import relative_half_width
from scipy import stats

TIMES = 300


@pytest.fixture(scope="module")
def bench():
    """Return the module of lib/proofs that holds rounds with known means, and lets starts vary."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "proofs"))
        import starts

        yield starts
    for name in ("starts", "false_claims"):
        del sys.modules[name]


def is_at_least(rate, wanted):
    """Return whether so few successes would come by chance in more than one of a hundred cases."""
    return stats.binomtest(rate["count"], rate["of"], wanted, alternative="less").pvalue > 0.01


def test_the_half_width_is_that_of_the_t_interval_of_who_looks_after_every_round():
    values = [100.0, 120.0, 107.0, 95.0]
    low, high = stats.t.interval(0.98, 3, loc=105.5, scale=stats.sem(values))
    assert relative_half_width(values) == pytest.approx((high - low) / 2 / 105.5)


def test_one_repeat_and_none_are_known_not_at_all():
    assert relative_half_width([]) is None and relative_half_width([3.0]) is None
    assert relative_half_width([3.0, None]) is None


@pytest.mark.parametrize(
    ("values", "starts"),
    [
        ([100.0, 102.0, 101.0, 110.0, 112.0], "aaabb"),
        ([100.0, 102.0, 130.0, 133.0, 131.0, 131.5], "abbbba"),
        ([10.0, 11.0, 12.0], "aab"),
    ],
)
def test_after_an_interruption_the_half_width_is_of_the_mean_of_the_very_starts(values, starts):
    """How far the starts lie apart is not in it: one that is moved as a whole changes the mean, and not its error."""
    width = relative_half_width(values, starts)
    mean = statistics.fmean(statistics.fmean(v for v, s in zip(values, starts) if s == start) for start in set(starts))
    moved = [value + 50 * (start == "b") for value, start in zip(values, starts)]
    assert relative_half_width(moved, starts) * (mean + 25) == pytest.approx(width * mean)
    assert relative_half_width(values, "x" * len(values)) == relative_half_width(values) != width


def test_one_value_of_each_start_tells_of_starts_and_of_one_start_of_that_start():
    values = [100.0, 104.0, 99.0]
    assert relative_half_width(values, "abc") == relative_half_width(values, "aaa") == relative_half_width(values)
    assert relative_half_width([100.0, 104.0], "ab") is not None and relative_half_width([100.0, None], "ab") is None


def test_equal_repeats_are_known_exactly_and_a_mean_of_zero_has_no_share():
    assert relative_half_width([3.0, 3.0]) == 0.0
    assert relative_half_width([-1.0, 1.0]) is None


@pytest.mark.parametrize("cv", [0.01, 0.02, 0.03, 0.05])
def test_a_mean_that_rounds_were_held_for_lies_as_near_as_is_said_nineteen_times_in_twenty(bench, cv):
    adding = bench.rounds_until("at_least: 3", 10)
    assert is_at_least(bench.covered(adding, lambda draw: bench.normal(draw, cv), TIMES, seed=3), 0.95)


def test_an_interval_of_95_percent_looked_at_as_often_would_not_hold(bench, monkeypatch):
    """The twin of the test above: with the confidence of a single look, too many means lie outside."""
    monkeypatch.setattr("benchbook.judge.confidence.LOOKED_AT", 0.95)
    adding = bench.rounds_until("at_least: 3", 30)
    assert not is_at_least(bench.covered(adding, lambda draw: bench.normal(draw, 0.03), 5 * TIMES, seed=3), 0.95)


def test_rounds_on_one_start_tell_of_that_start_and_starts_of_the_launch(bench):
    rates = bench.of_one_start(TIMES)
    assert rates["3 to 10 rounds on one start"]["rate"] < 0.5
    assert is_at_least(rates["3 to 10 starts"], 0.95)


def test_two_runs_of_one_launch_are_called_different_in_at_most_5_of_100_comparisons(bench):
    for runs, start_sd in (((3, 3, 1), 0.01), ((3, 8, 2), 0.05), ((8, 8, 1), 0.10)):
        claims = sum(bool(found.claims) for found in bench.two_runs(runs, start_sd, 1.0, TIMES, seed=0))
        assert is_at_least({"count": TIMES - claims, "of": TIMES}, 0.95), (runs, start_sd)


def test_of_two_runs_a_difference_well_above_what_starts_vary_by_is_found(bench):
    found = [bench.is_found(comparison) for comparison in bench.two_runs((5, 5, 1), 0.01, 1.1, 50, seed=0)]
    assert sum(found) > 45
