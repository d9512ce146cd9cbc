"""What the rounds of a comparison tell beside their mean: the median pair, a trend, two groups."""

import math
import random
from dataclasses import replace

import pytest
from benchbook.judge.claims import sentence
from benchbook.judge.compare import Comparison, Finding
from benchbook.judge.comparison_caveats import caveats
from benchbook.judge.rounds import contradiction, median_pair, trend_p
from benchbook.judge.stats import paired_ratio
from benchbook.report.comparisons import comparisons_html
from benchbook.report.differences import comparison_frame, median_column
from benchbook.report.forest import forest_figure
from report_runs import judged, make_run
from test_compare import ROW, TWO, compared, load_run


def row_of(pairs, **changes):
    """Return a row whose rounds have these ratios."""
    ratio = paired_ratio([1.0] * len(pairs), pairs)
    return replace(ROW, ratio=ratio, values=((1.0,) * len(pairs), tuple(pairs)), **changes)


@pytest.mark.parametrize(
    ("count", "kth", "confidence"),
    [(3, 0, 0.75), (4, 0, 0.875), (5, 0, 0.9375), (6, 0, 0.9688), (8, 0, 0.9922), (9, 1, 0.9609), (12, 2, 0.9614)],
)
def test_the_interval_of_the_median_pair_is_between_order_statistics(count, kth, confidence):
    found = median_pair([1.0 + place for place in range(count)])
    assert (found.low, found.high) == (1.0 + kth, float(count - kth))
    assert found.confidence == pytest.approx(confidence, abs=1e-4)


@pytest.mark.parametrize("draw", [random.Random(1).gauss, lambda a, b: random.Random().expovariate(1) - math.log(2)])
def test_it_holds_the_true_median_as_often_as_it_says_whatever_the_distribution(draw):
    for count in (4, 8, 11):
        found = [median_pair([math.exp(draw(0, 1)) for _ in range(count)]) for _ in range(2000)]
        held = sum(one.low <= 1 <= one.high for one in found) / len(found)
        assert held == pytest.approx(found[0].confidence, abs=0.025)


def test_two_pairs_have_no_median_to_speak_of():
    assert median_pair([1.0, 1.1]) is None and median_pair([]) is None


def test_a_claim_that_a_few_rounds_make_is_not_borne_out_by_the_median_pair():
    row = row_of([0.999, 1.001, 0.9995, 0.80, 0.81, 1.0005, 0.80, 0.79], is_claimed=True)
    assert row.finding is Finding.WORSE and contradiction(row)
    assert "the median pair says otherwise: -9." in sentence(row, Comparison("a", "b", True, (), (), (row,)))
    clean = row_of([0.90, 0.91, 0.92, 0.90, 0.91, 0.92, 0.90, 0.89], is_claimed=True)
    assert contradiction(clean) is None
    assert "median" not in sentence(clean, Comparison("a", "b", True, (), (), (clean,)))


def test_a_difference_that_one_mishap_hides_is_told_by_the_median_pair():
    hidden = row_of([1.05, 1.04, 1.06, 1.05, 1.04, 1.05, 1.06, 1.03, 0.60])
    assert hidden.finding is Finding.OPEN and contradiction(hidden)
    assert "no difference seen" in (said := sentence(hidden, Comparison("a", "b", True, (), (), (hidden,))))
    assert "the median pair says otherwise: +5.0 % [+" in said
    assert contradiction(row_of([1.05, 0.96, 1.03, 0.97, 1.02, 0.99, 1.01, 0.95, 0.60])) is None


def test_with_four_rounds_only_an_opposite_direction_is_a_contradiction_and_the_interval_names_its_own_confidence():
    against = row_of([1.002, 1.001, 1.003, 0.5], is_claimed=True)
    assert "+0.2 % [88 %: -50.0, +0.3]" in sentence(against, Comparison("a", "b", True, (), (), (against,)))
    assert contradiction(row_of([0.98, 0.97, 1.001, 0.5], is_claimed=True)) is None


@pytest.mark.parametrize(
    "pairs",
    [
        [1.135, 1.165, 1.202, 1.204],
        [1.05, 1.04, 1.03, 1.02, 1.01],
        [1.0, 1.01, 1.03, 1.02, 1.05, 1.06, 1.04, 1.09],
    ],
)
def test_a_ratio_that_trends_over_the_rounds_is_told_with_its_chance(pairs):
    assert trend_p(pairs) == pytest.approx({4: 2 / 24, 5: 0.0167, 8: 0.0055}[len(pairs)], abs=0.001)
    zigzag = [pair for both in zip(pairs, pairs[::-1]) for pair in both][: len(pairs)]
    assert trend_p(zigzag) is None


@pytest.mark.parametrize("pairs", [[1.1, 1.2, 1.3], [1.0001, 1.0002, 1.0003, 1.0004, 1.0005], [1.0] * 8, []])
def test_three_rounds_or_a_trend_of_nothing_are_none(pairs):
    assert trend_p(pairs) is None


def test_equal_rounds_seem_to_trend_as_seldom_as_is_said():
    draw = random.Random(5)
    for count, at_most in ((4, 0.0834), (5, 0.05), (8, 0.05)):
        seen = sum(trend_p([math.exp(draw.gauss(0, 0.05)) for _ in range(count)]) is not None for _ in range(2000))
        assert seen / 2000 <= at_most + 3 * (at_most / 2000) ** 0.5


def test_a_trend_is_a_caveat_of_the_comparison_and_its_twin_without_one_has_none(tmp_path):
    def warming(record):
        if record.identity.launch == "eager":
            return record
        speed = 1 + 0.05 * record.identity.repeat
        values = {**record.values, "output_throughput_tok_s": record.values["output_throughput_tok_s"] * speed}
        return record.model_copy(update={"values": values})

    said = [one for one in caveats(compared(tmp_path, warming)) if one.startswith("Over the rounds")]
    assert len(said) == 1 and "compiled / eager in Output throughput" in said[0] and "p 0.017" in said[0]
    assert caveats(compared(tmp_path / "clean")) == []


def test_two_runs_have_no_pairs_and_so_neither_median_nor_trend(tmp_path):
    comparison = compared(tmp_path, is_paired=False)
    assert all(row.pairs == () for row in comparison.rows)
    assert set(median_column(comparison)[1]) == {""} and "tick" not in forest_figure(comparison)[1]


@pytest.mark.parametrize("benchmark", ["serve", "latency", "throughput"])
def test_a_launch_of_two_states_is_named_in_a_comparison(tmp_path, benchmark):
    def two_states(record):
        is_second = record.identity.launch == "compiled" and record.identity.repeat in (2, 3, 5)
        values = {key: value * 1.3 if value and is_second else value for key, value in record.values.items()}
        return record.model_copy(update={"values": values})

    said = caveats(compared(tmp_path, two_states, benchmarks=(benchmark,)))
    assert [one for one in said if one.startswith("compiled has two states: ")]
    assert not any("eager has" in one for one in said)


def test_what_records_note_of_their_pace_is_said_in_a_comparison(tmp_path):
    def noted(record):
        if record.identity.launch == "eager":
            return record
        return judged(record, "note", "repeats_in_groups", "median ITL of the repeats: 4.57, 4.56 and 4.87, 4.87 ms")

    said = caveats(compared(tmp_path, noted))
    assert any(one.startswith("compiled has two states: median ITL of the repeats: 4.57, 4.56 and") for one in said)


def test_the_median_pair_stands_in_table_forest_and_files(tmp_path):
    comparison = compared(tmp_path)
    frame = comparison_frame(comparison)
    assert (frame["median_low"] <= frame["median_ratio"]).all() and set(frame["median_confidence"]) == {0.96875}
    assert "A tick is the ratio of the median pair." in forest_figure(comparison)[1]
    run = load_run(make_run(tmp_path / "html", launches=TWO, repeats=6))
    assert "median pair [95 %]" in str(comparisons_html(run))
