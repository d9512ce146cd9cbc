"""How often a gate is right, by the program that measures it at length, and its intervals against kept runs."""

import math
import random
import statistics
import sys
from pathlib import Path

import pytest
from benchbook.judge.gate import Answer
from benchbook.judge.stats import foretold_ratio, run_spread
from benchbook.plan.experiment import load_experiment
from benchbook.plan.repeats import Until

ASKED = (  # of the kinds of the proof, for a test has not its time
    "equal, seven cases, three metrics",
    "5 % worse, one case",
    "5 % worse, starts vary by 2%, 8 rounds",
    "5 % worse, starts vary by 6%, 8 rounds",
    "equal, starts vary by 6%, 8 to 40 rounds",
    "5 % worse, starts vary by 6%, 8 to 40 rounds",
    "equal, against 8 kept runs",
    "5 % worse, against 8 kept runs",
)


@pytest.fixture(scope="module")
def proof():
    """Return the module of lib/proofs that asks many gates."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "proofs"))
        import gates

        yield gates
    for name in ("gates", "false_claims"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def rates(proof):
    """Return the rates that it finds in few gates of some kinds, replays of one launch among them."""
    kinds = proof.kinds(60, 8, seed=0)
    replays = [name for name in kinds if "starts vary by 3.2%" in name]
    assert len(replays) == 2
    return proof.rates({name: kinds[name] for name in (*ASKED, *replays)})


def test_equal_launches_are_called_worse_in_at_most_5_of_100_gates_and_a_planted_5_percent_is_found(proof, rates):
    assert proof.is_within_limits(rates), rates
    lost = {**rates, "equal, too often worse": rates["5 % worse, one case"]}
    assert not proof.is_within_limits(lost)
    promised = {name: {**found, "is_promised": True} for name, found in rates.items()}
    assert not proof.is_within_limits(promised)  # 8 rounds of starts that vary by 6 % are too few


def test_rounds_follow_the_spread_and_find_where_a_fixed_number_does_not(rates):
    few, more = (rates[f"5 % worse, starts vary by 6%, {rounds} rounds"] for rounds in ("8", "8 to 40"))
    assert few["mean_rounds"] == 8 < 30 < more["mean_rounds"] <= 40
    assert few["worse"]["high"] < 0.9 <= more["worse"]["high"]


def test_all_three_answers_are_given(rates):
    assert all(any(found[answer]["count"] for found in rates.values()) for answer in Answer)


def test_the_budget_that_is_proven_is_that_of_the_gate_among_the_experiments(proof):
    experiment = load_experiment(Path(__file__).parents[3] / "experiments" / "gate.yaml")
    assert experiment.repeats == 8 and experiment.until == Until(proof.AT_MOST, {proof.KEY: proof.KNOWN_TO})


def test_from_which_loss_on_nine_of_ten_gates_find_it_is_told_by_the_spread(proof):
    gates = list(proof.synthetic(proof.ONE_CASE, 0.05, 60, 8, seed=3, start=0.03))
    told = statistics.median(one.judged[0].found_from for one in gates)
    found = [one.answer is Answer.WORSE for one in proof.synthetic(proof.ONE_CASE, told, 60, 8, seed=4, start=0.03)]
    assert 0.05 < told < 0.09 and proof.rate_of(found)["high"] >= 0.9 >= proof.rate_of(found)["low"] - 0.05


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
