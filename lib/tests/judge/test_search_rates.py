"""What a search over launches claims is true, by the program that asks at length; and what decides its course."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchbook.judge.halving import Halving, Next, Trial, widths


@pytest.fixture(scope="module")
def proof():
    """Return the module of lib/proofs that searches launches of known speeds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "proofs"))
        import searches

        yield searches
    for name in ("searches", "false_claims"):
        sys.modules.pop(name, None)


def test_the_best_is_found_a_gain_is_true_and_none_is_claimed_where_none_is(proof):
    found = proof.rates(12, seed=0)
    assert not any(map(proof.broken, found.values())), found
    assert found["cut"]["continued_alike"]["rate"] == 1 and found["cut"]["continued_alike"]["of"] == 2 * proof.CUTS
    assert all(kind["share_of_grid"] < 0.5 for kind in found.values())
    wrong = {"found": {"high": 0.8}, "covered": {"high": 1.0}, "false_claims": {"low": 0.0}}
    assert proof.broken(wrong) and proof.broken({**found["none"], "false_claims": {"low": 0.2}})


def course(gains, budget_s=None, **beside):
    trials = {key: Trial(gain, took_s=1.0, **beside.get(key[0], {})) for key, gain in gains.items()}
    return Halving("d", ("a", "b", "c", "e"), 2, trials, budget_s).course


def test_rounds_of_screening_are_halves_down_to_the_finalists():
    assert [widths(number) for number in (1, 3, 4, 7, 24, 100)] == [
        [], [], [4], [7, 4], [24, 12, 6], [100, 50, 25, 13, 7, 4],
    ]  # fmt: skip


def test_a_search_begins_with_its_default_and_ends_where_it_gives_no_number():
    assert course({}).next == Next("d", 0)
    halving = Halving("d", ("a", "b", "c", "e"), 2, {("d", 0): Trial(None, lost="out_of_memory")})
    assert halving.course.next is None and halving.why_lost("d") == "out_of_memory"


def test_finalists_are_those_that_looked_better_than_the_default_the_best_first():
    gains = {("d", 0): 0.0, ("a", 0): 0.1, ("b", 0): 0.3, ("c", 0): -0.1, ("e", 0): -0.2}
    assert course(gains).finalists == ("b", "a") and course(gains).next == Next("d", 1)
    worse = {key: -abs(gain) for key, gain in gains.items()}
    assert course(worse).finalists == () and course(worse).next is None


def test_a_finalist_that_is_lost_while_it_is_confirmed_is_started_no_more():
    gains = {("d", 0): 0.0, ("a", 0): 0.1, ("b", 0): 0.3, ("c", 0): -0.1, ("e", 0): -0.2, ("d", 1): 0.0, ("a", 1): 0.1}
    trials = {key: Trial(gain) for key, gain in gains.items()} | {("b", 1): Trial(None, lost="server_died")}
    halving = Halving("d", ("a", "b", "c", "e"), 2, trials)
    assert halving.course.next == Next("a", 2)
    done = {**trials, ("a", 2): Trial(0.1), ("d", 2): Trial(0.0)}
    assert Halving("d", ("a", "b", "c", "e"), 2, done).course.next is None


def test_of_few_candidates_the_last_are_left_out_by_what_the_first_starts_took():
    def finalists(budget_s, **trials):
        known = {(name, 0): trial for name, trial in trials.items()}
        return Halving("d", ("a", "b", "c"), 4, known, budget_s).course.finalists

    of_10_s, lost = Trial(0.0, took_s=10.0), Trial(None, lost="out_of_memory", took_s=5.0)
    assert finalists(1.0) == ("a", "b", "c"), "nothing is known yet, and the default comes first"
    assert finalists(119.0, d=of_10_s, a=of_10_s) == ("a",) and finalists(1.0, d=of_10_s, a=of_10_s) == ("a",)
    assert finalists(121.0, d=of_10_s, a=of_10_s, b=of_10_s) == ("a", "b")
    assert finalists(161.0, d=of_10_s, a=of_10_s, b=of_10_s) == ("a", "b", "c")
    assert finalists(84.0, d=of_10_s, a=lost) == ("a",) and finalists(86.0, d=of_10_s, a=lost)[:2] == ("a", "b")


def test_a_default_that_gives_no_number_at_first_ends_a_search_of_few_candidates_and_one_later_does_not():
    lost = Trial(None, lost="out_of_memory")
    few = Halving("d", ("a",), 2, {("d", 0): lost})
    assert few.course.next is None and few.is_default_out
    later = Halving("d", ("a",), 2, {("d", 0): Trial(0.0), ("a", 0): Trial(0.1), ("a", 1): Trial(0.1), ("d", 1): lost})
    assert later.course.finalists == ("a",) and not later.is_default_out
