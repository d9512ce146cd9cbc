"""Searches for a capacity on curves of a known truth: how sure they are, and what they take."""

from __future__ import annotations

import math
import random
import statistics
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from benchbook.judge.capacity import Decision, Grows, Kept, Sample
from benchbook.judge.ladder import Search, more_repeats
from benchbook.plan.find import ladder


@pytest.fixture(scope="module")
def bench():
    """Return the module of lib/proofs that has curves of a known truth."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "proofs"))
        import capacity

        yield capacity
    for name in ("capacity", "false_claims"):
        del sys.modules[name]


def known(values, key="x", least_sd=0.0, starts=None):
    starts = starts or ["one"] * len(values)
    samples = [Sample({key: value}, start, {key: least_sd}) for value, start in zip(values, starts)]
    return Kept((key,)).known(0, {0: samples})


def test_what_is_far_from_the_limit_is_decided_by_two_repeats_and_what_is_near_is_not():
    assert known([-2.0, -2.01]).decision is Decision.HOLDS
    assert known([0.5, 0.51]).decision is Decision.FAILS
    near = known([-0.02, 0.03])
    assert near.decision is Decision.OPEN
    assert known([-3.0]).decision is Decision.OPEN  # one repeat has no spread
    assert known([-0.05, -0.05], least_sd=0.03).decision is Decision.OPEN  # alike by chance
    assert known([-0.05, -0.05]).decision is Decision.HOLDS


def test_what_would_decide_a_load_is_reckoned_from_the_spread_seen():
    search = Search((1, 2), Kept(("x",)), {0: [Sample({"x": value}) for value in (-0.1, -0.3, 0.02)]}, 3)
    assert search.known[0].decision is Decision.OPEN and search.wanted() != 0
    assert 1 <= more_repeats(search, 0) <= 20
    at_the_limit = Search((1, 2), Kept(("x",)), {0: [Sample({"x": value}) for value in (-0.1, 0.1, 0.001)]}, 3)
    assert more_repeats(at_the_limit, 0) is None


def test_several_limits_hold_together_and_break_alone():
    question = Kept(("a", "b"))

    def decided(a, b):
        samples = [Sample({"a": a + luck, "b": b + luck}) for luck in (0.0, 0.001, 0.002)]
        return question.known(0, {0: samples})

    assert decided(-1, -2).decision is Decision.HOLDS and decided(-1, -2).key == "a"
    assert decided(-1, 2).decision is Decision.FAILS and decided(-1, 2).key == "b"


def test_repeats_of_several_starts_count_by_starts_and_those_of_one_do_not_pass_for_more():
    apart = [-0.01, -0.011, -0.2, -0.201, 0.2, 0.201]
    starts = ["a", "a", "b", "b", "c", "c"]
    assert known(apart[::2], starts=starts[::2]).decision is Decision.OPEN
    # Several of each start tell of the mean of these very starts.
    assert known(apart, starts=starts).decision in (Decision.OPEN, Decision.HOLDS)


@pytest.mark.parametrize(
    ("ends", "within", "are_whole", "loads"),
    [
        ((1, 8), 0.05, True, (1, 2, 3, 4, 5, 6, 7, 8)),
        ((20, 30), 0.1, True, (20, 22, 24, 26, 28, 30)),
        ((1, 2), 0.2, False, (1, 1.2, 1.44, 1.728, 2)),
        ((0.5, 0.6), 0.5, False, (0.5, 0.6)),
    ],
)
def test_a_ladder_has_every_load_that_an_answer_can_name(ends, within, are_whole, loads):
    assert ladder(*ends, within, are_whole) == loads


def test_growth_is_that_of_a_doubling():
    loads = (1, 2, 4, 8)
    question = Grows(loads, 0.10, "x")
    samples = {place: [Sample({"x": math.log(value) + luck}) for luck in (0, 0.001)] for place, value in
               enumerate((10.0, 20.0, 22.5, 22.6))}  # fmt: skip
    told = [question.known(place, samples).decision for place in range(3)]
    assert told == [Decision.HOLDS, Decision.HOLDS, Decision.FAILS]
    assert not question.can_ask(3)


@pytest.mark.parametrize(
    ("kind", "times"), [("smooth", 15), ("cliff", 15), ("bump", 15), ("tails", 15), ("drift", 15), ("share", 10)]
)
def test_the_truth_lies_between_the_ends_of_nearly_all_searches_for_a_part_of_a_grid(bench, kind, times):
    found = bench.rates_of(bench.KINDS[kind], times, seed=1)
    assert not bench.broken(found), found


def test_a_grid_is_the_cheapest_that_answers_as_narrowly_and_a_wider_answer_is_had_for_less(bench):
    machine = bench.KINDS["smooth"](random.Random(5))
    narrow, wide = (bench.cheapest_grid(machine, math.log(width)) for width in (1.2, 2.0))
    assert narrow[0].repeats > wide[0].repeats >= 3 * 5
    assert statistics.fmean(answer.width(machine.loads) for answer in wide) <= math.log(2.0)


def test_loads_on_the_way_up_are_tried_once_and_those_that_the_answer_rests_on_are_decided():
    loads, tried = ladder(1, 64, 0.1, are_whole=True), defaultdict(list)
    while (place := Search(loads, Kept(("x",)), tried, 8).wanted()) is not None:
        tried[place].append(Sample({"x": math.log(loads[place] / 20.5) + 0.001 * len(tried[place])}))
    repeats = {loads[place]: len(samples) for place, samples in tried.items()}
    assert repeats.items() >= {1: 1, 2: 1, 4: 1, 8: 1, 20: 2, 22: 2, 33: 2}.items()
    assert all(number == 2 for load, number in repeats.items() if load > 16)


def test_a_load_that_only_looked_to_hold_is_decided_before_an_answer_rests_on_it():
    """One lucky repeat of 8 leads the search above it; the next ones say that it fails, and it goes on below."""
    loads, luck = (1, 2, 4, 8, 16), {3: [-0.1, 0.5, 0.51, 0.5, 0.51]}
    tried = defaultdict(list)
    while (place := Search(loads, Kept(("x",)), tried, 8).wanted()) is not None:
        of_it = luck.get(place, [-1.0 if place < 3 else 1.0] * 9)
        tried[place].append(Sample({"x": of_it[len(tried[place])] + 0.001 * len(tried[place])}))
    search = Search(loads, Kept(("x",)), tried, 8)
    assert search.holds == 2 and len(tried[2]) == 2 and search.fails in (3, 4)


def test_a_curve_that_is_called_right_by_chance_alone_breaks_the_limits(bench):
    """A search that takes each repeat's word errs more often than it may: the limits would see it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchbook.judge.capacity.LEVEL", 0.4)
        found = bench.rates_of(bench.KINDS["smooth"], times=30, seed=1)
    assert bench.broken(found), found
