"""Mean, spread and count of repeats, and how they are written."""

import math
import statistics

import pytest
from benchbook.judge.spread import Spread, spread_of, spread_text
from benchbook.terms.wording import counted, listed, mean_tokens_text, number_text, percent_number, plus_minus_text
from hypothesis import given
from hypothesis import strategies as st


def test_one_repeat_has_no_standard_deviation():
    assert spread_of([12.3]) == Spread(12.3, None, 1, 12.3, 12.3)


def test_no_repeat_has_no_spread():
    assert spread_of([]) is None
    assert spread_of([None, math.nan]) is None


def test_an_absent_value_is_not_counted_as_zero():
    assert spread_of([10.0, None, 14.0, math.nan]) == Spread(12.0, statistics.stdev([10, 14]), 2, 10.0, 14.0)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_the_spread_agrees_with_the_statistics_module(values):
    spread = spread_of(values)
    assert spread.mean == pytest.approx(statistics.fmean(values))
    assert spread.stdev == pytest.approx(statistics.stdev(values))
    assert (spread.count, spread.minimum, spread.maximum) == (len(values), min(values), max(values))


def test_the_text_of_a_spread_names_the_number_of_repeats():
    assert spread_text(Spread(12.3, 0.4, 3, 12.0, 12.6), "ms") == "12.3 ± 0.4 ms (3 repeats)"
    assert spread_text(Spread(12.3, None, 1, 12.3, 12.3)) == "12.3 (1 repeat, spread unknown)"


def test_a_small_spread_is_not_rounded_to_none():
    assert plus_minus_text(12.3, 0.004) == "12.3 ± 0.004"
    assert plus_minus_text(12.3, 0.0) == "12.3 ± 0.0"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.01234, "0.0123"), (1.5, "1.50"), (12.34, "12.3"), (999.4, "999"), (12345.6, "12,346"), (None, "–"),
     (math.nan, "–")],
)  # fmt: skip
def test_numbers_have_three_significant_digits_or_all_before_the_point(value, text):
    assert number_text(value) == text


def test_tokens_of_a_request_are_whole_or_to_a_tenth_and_never_in_powers():
    told = [mean_tokens_text(tokens) for tokens in (128, 80.0, 253 / 3, 1_048_576)]
    assert told == ["128", "80", "84.3", "1048576"]


def test_equal_repeats_have_no_spread_although_their_mean_is_rounded():
    assert spread_of([349525.3773806853] * 3).stdev == 0.0


def test_a_count_is_whole_and_has_a_plural_and_thousands_are_set_apart():
    assert [number_text(count) for count in (0, 8, 1234)] == ["0", "8", "1,234"]
    assert [counted(count, "repeat") for count in (0, 1, 1200)] == ["0 repeats", "1 repeat", "1,200 repeats"]
    assert counted(12, "case", "3 to 12") == "3 to 12 cases" and counted(2, "launch", plural="launches") == "2 launches"


def test_a_list_is_said_with_its_last_word_set_off():
    assert [listed(["a", "b", "c"][:length], "or") for length in (1, 2, 3)] == ["a", "a or b", "a, b or c"]


def test_a_change_below_a_tenth_of_a_percent_keeps_two_decimals():
    assert [percent_number(share) for share in (0.0612, 0.0004, 18.4, -0.5, 0)] == [
        "6.1",
        "0.04",
        "1,840",
        "-50.0",
        "0.0",
    ]
