"""How far a curve keeps an SLO: on values alone, without a report."""

import math

import pytest
from benchbook.judge.slo import Breach, breaches, keeping, limits_by_metric

LIMITS = {"p99_ttft_ms": 500.0}


def curve(**ttfts_ms):
    """Return the values of a curve by load: loads as 'at8'."""
    return {float(load.removeprefix("at")): {"p99_ttft_ms": values} for load, values in ttfts_ms.items()}


def test_the_best_load_is_the_one_of_most_throughput_below_the_first_that_breaks():
    found = keeping(curve(at1=[10.0], at8=[90.0], at64=[700.0]), LIMITS, {1.0: 50.0, 8.0: 300.0, 64.0: 900.0})
    assert (found.best, found.broken, found.is_kept_again) == (8.0, 64.0, False)


def test_one_repeat_beyond_the_limit_breaks_it_though_the_mean_keeps_it():
    assert breaches({"p99_ttft_ms": [100.0, 100.0, 600.0]}, LIMITS) == (Breach("p99_ttft_ms", 600.0, 1, 3, False),)
    assert breaches({"p99_ttft_ms": [700.0, 450.0]}, LIMITS) == (Breach("p99_ttft_ms", 700.0, 1, 2, True),)
    assert breaches({"p99_ttft_ms": [500.0, 100.0]}, LIMITS) == ()


def test_what_was_not_measured_keeps_no_limit():
    [found] = breaches({"p99_ttft_ms": [100.0, math.nan]}, LIMITS)
    assert found.worst is None


def test_a_rate_that_is_not_reached_breaks_the_slo_though_every_latency_keeps_it():
    found = keeping(curve(at4=[10.0], at40=[20.0]), LIMITS, {4.0: 50.0, 40.0: 90.0}, unreached=40.0)
    assert (found.best, found.broken, found.is_behind) == (4.0, 40.0, True)


def test_a_higher_load_that_keeps_it_again_is_told():
    found = keeping(curve(at1=[10.0], at8=[700.0], at64=[90.0]), LIMITS, {1.0: 1.0, 8.0: 2.0, 64.0: 3.0})
    assert found.is_kept_again and found.best == 1.0


def test_a_curve_that_keeps_nothing_or_all_says_so():
    assert keeping(curve(at1=[900.0]), LIMITS, {1.0: 1.0}).best is None
    assert keeping(curve(at1=[9.0]), LIMITS, {1.0: 1.0}).broken is None


@pytest.mark.parametrize("key", ["p50_ttft_ms", "median_ttft_ms"])
def test_both_spellings_of_a_median_are_one_metric(key):
    assert limits_by_metric({key: 5.0, "p50_nonsense_ms": 1.0}) == {"median_ttft_ms": 5.0}
