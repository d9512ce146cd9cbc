"""How the 5 % of false claims is divided: the gate of the headlines, every number by itself, and what is handed on."""

import random

import pytest
from benchbook.judge.families import Test as Row  # pytest would take a class of this name for tests
from benchbook.judge.families import decide

SERVE, LATENCY = ("serve", "output_throughput_tok_s"), ("latency", "avg_batch_latency_s")


def together(p_value, group=SERVE):
    return Row(p_value, group, is_together=True)


def case(p_value, group=SERVE):
    return Row(p_value, group, is_together=False)


def other(p_value):
    return Row(p_value, None, is_together=False)


def claims(*rows, error=0.05):
    return [decision.is_claimed for decision in decide(rows, error)]


def test_all_cases_together_are_tested_alone_at_the_headlines_whole_share():
    assert claims(together(0.024), *[case(0.2)] * 10, *[other(0.5)] * 60)[0]
    assert not claims(together(0.026), *[case(0.2)] * 10, *[other(0.5)] * 60)[0]


@pytest.mark.parametrize(("p_value", "is_claimed"), [(0.0024, True), (0.0026, False)])
def test_cases_come_after_it_by_holms_steps_at_the_same_share(p_value, is_claimed):
    rows = [together(0.001), case(p_value), *[case(0.5)] * 9, *[other(0.5)] * 60]
    assert claims(*rows)[:2] == [True, is_claimed], "ten cases: 2.5 % / 10"


def test_behind_a_gate_that_stays_shut_a_case_must_differ_as_clearly_as_any_other_number():
    rest = [*[case(0.5)] * 9, *[other(0.5)] * 40]
    assert claims(together(0.4), case(0.0004), *rest)[:2] == [False, True], "2.5 % / 50"
    assert claims(together(0.4), case(0.0006), *rest)[:2] == [False, False]


def test_a_launch_that_is_faster_under_one_load_and_slower_under_another_is_told_so():
    assert claims(together(0.9), case(1e-6), case(1e-6), other(0.5)) == [False, True, True, False]


def test_a_benchmark_has_its_part_of_the_share_by_its_number_of_cases():
    rows = [together(0.019), *[case(0.9)] * 4, case(0.9, LATENCY), other(0.9)]
    assert claims(*rows)[0], "four cases of five: 2 %"
    assert not claims(together(0.021), *rows[1:])[0]


def test_a_benchmark_that_is_wholly_claimed_hands_its_part_on():
    rows = [together(0.024), *[case(0.9)] * 4, case(0.9, LATENCY), other(0.9)]
    assert not claims(*rows)[0]
    assert claims(*rows[:5], case(0.001, LATENCY), other(0.9))[0]


def test_once_every_headline_is_claimed_the_other_numbers_have_the_whole_error():
    assert claims(case(0.001), other(0.04)) == [True, True]
    assert claims(case(0.9), other(0.04)) == [False, False]
    assert claims(together(0.001), case(0.011), case(0.02), other(0.012), other(0.9)) == [True, True, True, True, False]


def test_cases_whose_sum_tells_nothing_have_no_gate():
    assert claims(case(0.012), case(0.9), other(0.9))[0] and not claims(case(0.013), case(0.9), other(0.9))[0]


@pytest.mark.parametrize(
    "rows",
    [
        [case(0.1)],
        [other(0.1), other(0.2)],
        [case(0.1), other(0.1)],
        [together(0.1), case(0.1), case(0.1)],
        [together(0.001), *[case(0.1)] * 3, case(0.1, LATENCY), *[other(0.1)] * 9],
        [together(0.1), case(0.1), case(0.1), together(0.1, LATENCY), case(0.1, LATENCY), case(0.1, LATENCY)],
        [case(0.1), case(0.1), other(0.1)],
        [together(0.1), other(0.1)],
    ],
)
@pytest.mark.parametrize("error", [0.05, 0.01])
def test_the_errors_of_all_bounds_add_up_to_the_whole(rows, error):
    decisions = decide(rows, error)
    assert sum(decision.error for decision in decisions) == pytest.approx(error)
    assert all(decision.error > 0 for decision in decisions)


def test_the_level_of_a_row_is_the_p_value_that_claims_it_where_nothing_else_is():
    for rows, place in [
        ([together(0.0), *[case(0.9)] * 4, *[other(0.9)] * 8], 1),
        ([together(0.9), *[case(0.9)] * 4, *[other(0.9)] * 8], 1),
        ([together(0.9), *[case(0.9)] * 4, *[other(0.9)] * 8], 0),
        ([together(0.9), *[case(0.9)] * 4, *[other(0.9)] * 8], 7),
        ([case(0.9), case(0.9, LATENCY), other(0.9)], 1),
    ]:
        level = decide(rows, 0.05)[place].level
        for p_value, is_claimed in ((level * 0.999, True), (level * 1.001, False)):
            tried = [*rows]
            tried[place] = Row(p_value, rows[place].group, rows[place].is_together)
            assert claims(*tried)[place] is is_claimed


@pytest.mark.parametrize("true_share", [1.0, 0.7, 0.3])
def test_what_is_equal_is_claimed_in_at_most_one_comparison_of_twenty_whatever_else_differs(true_share):
    draw, wrong, number = random.Random(7), 0, 2000
    for _ in range(number):
        rows, equal = [], []
        for group, size in ((SERVE, 4), (LATENCY, 2)):
            is_equal = [draw.random() < true_share for _ in range(size)]
            equal += [all(is_equal), *is_equal]  # any case that differs moves all of them together
            rows += [together(_p(draw, all(is_equal)), group), *(case(_p(draw, one), group) for one in is_equal)]
        for _ in range(10):
            equal.append(draw.random() < true_share)
            rows.append(other(_p(draw, equal[-1])))
        wrong += any(claimed and truth for claimed, truth in zip(claims(*rows), equal, strict=True))
    assert wrong / number <= 0.05 + 3 * (0.05 * 0.95 / number) ** 0.5


def _p(draw, is_equal):
    """Return the p-value of a hypothesis, uniform where it is true."""
    return draw.random() if is_equal else draw.random() ** 8
