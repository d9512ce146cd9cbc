"""How often a gate is right, by the program that measures it at length, and its intervals against kept runs."""

import math
import random
import sys
from pathlib import Path

import pytest
from benchbook.judge.gate import Answer
from benchbook.judge.stats import foretold_ratio, run_spread


@pytest.fixture(scope="module")
def rates():
    """Return the rates that lib/proofs/gates.py finds in few gates of each kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "proofs"))
        import gates

        found = gates.rates(100, 8, seed=0)
        assert gates.is_within_limits(found)
        yield found
        broken = {**found, "equal, too often worse": {**found["5 % worse, one case"]}}
        assert not gates.is_within_limits(broken)
    for name in ("gates", "false_claims"):
        sys.modules.pop(name, None)


def test_equal_launches_are_called_worse_in_at_most_5_of_100_gates(rates):
    assert all(found["worse"]["low"] <= 0.05 for kind, found in rates.items() if kind.startswith("equal"))


def test_a_planted_5_percent_is_found_in_nine_of_ten_where_starts_are_steady(rates):
    promised = [found for kind, found in rates.items() if kind.startswith("5 % worse") and found["is_promised"]]
    assert len(promised) >= 4 and all(found["worse"]["high"] >= 0.9 for found in promised)


def test_all_three_answers_are_given(rates):
    assert all(any(found[answer]["count"] for found in rates.values()) for answer in Answer)


@pytest.mark.parametrize(("runs", "starts", "new"), [(3, 1, 1), (5, 3, 3), (4, 4, 1), (6, 2, 5)])
def test_an_equal_run_lies_in_the_interval_that_kept_ones_foretell(runs, starts, new):
    draw, inside, times = random.Random(runs), 0, 400
    for _ in range(times):
        *kept, last = [
            [math.exp(draw.gauss(day, 0.01)) for _ in range(number)]
            for number in (*[starts] * runs, new)
            for day in [draw.gauss(0, 0.01)]
        ]
        interval = foretold_ratio(kept, last).interval()
        inside += interval is None or interval[0] <= 1 <= interval[1]
    assert inside >= 0.92 * times


def test_what_varies_from_day_to_day_is_told_from_what_starts_do():
    draw = random.Random(0)
    runs = []
    for _ in range(200):
        day = draw.gauss(0, 0.02)
        runs.append([math.exp(draw.gauss(day, 0.01)) for _ in range(4)])
    spread = run_spread(runs)
    assert spread.starts == pytest.approx(0.01, rel=0.1) and spread.days == pytest.approx(0.02, rel=0.15)
    assert run_spread([[1.0], [1.1]]).days is None


@pytest.mark.parametrize(("runs", "has"), [(1, False), (2, False), (3, True)])
def test_fewer_than_three_kept_runs_tell_no_interval(runs, has):
    kept = [[1.0 + 0.01 * number] for number in range(runs)]
    assert (foretold_ratio(kept, [1.0]).interval() is not None) == has
