"""Two launches compared: which repeats enter, which rows may claim, and what is said."""

import math
import statistics
from dataclasses import replace

import pytest
from benchbook.judge.claims import detectable_text, headlines, sentence, tally
from benchbook.judge.compare import Comparison, Finding, Row, _judged, compare
from benchbook.judge.comparison_caveats import caveats
from benchbook.judge.stats import paired_ratio
from benchbook.records.conditions import Conditions
from benchbook.records.host import AttachedFacts
from benchbook.report.differences import comparisons_of, how_to_read
from benchbook.report.forest import forest_figure
from benchbook.report.run import load_run
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.metrics import BY_KEY
from benchbook.terms.wording import percent_number
from parts import having
from report_runs import failed, judged, make_run

ROW = Row(
    "serve", "one case", "one case", 1, BY_KEY["output_throughput_tok_s"], True, 100.0, 101.0,
    paired_ratio([1.0], [1.0]), 4, 4, 0,
)  # fmt: skip
TWO = ("eager", "compiled")  # the second is 1.35 times as fast; a repeat varies by 2 %


def compared(tmp_path, change=lambda record: record, repeats=6, benchmarks=("serve",), concurrencies=(4,), **options):
    """Return the comparison of a synthetic run's two launches."""
    run = load_run(
        make_run(
            tmp_path, launches=TWO, repeats=repeats, change=change, benchmarks=benchmarks, concurrencies=concurrencies
        )
    )
    return compare(*(run.by_launch[launch] for launch in TWO), TWO, **options)


def slightly_faster(record):
    """Leave a difference of about 3 %, which six repeats see at times."""
    record = same_speed(record)
    if record.identity.launch == "eager":
        return record
    values = {**record.values, "output_throughput_tok_s": record.values["output_throughput_tok_s"] * 1.03}
    return record.model_copy(update={"values": values})


def row_of(comparison, key="output_throughput_tok_s", case="lengths=128"):
    return next(row for row in comparison.rows if row.metric.key == key and row.num_cases == 1)


def same_speed(record):
    """Take the planted difference out again, and leave each launch its own noise."""
    if record.identity.launch == "eager":
        return record
    values = {}
    for key, value in record.values.items():
        better = BY_KEY[key].higher_is_better
        values[key] = value if not value or better is None else value / 1.35 if better else value * 1.35
    return record.model_copy(update={"values": values})


def test_a_large_difference_is_claimed_with_direction_interval_and_least_size(tmp_path):
    comparison = compared(tmp_path)
    row = row_of(comparison)
    assert row.finding is Finding.BETTER and row.is_headline
    assert 1.2 < row.bounds[0] < row.interval[0] < 1.35 < row.interval[1] < 1.45
    said = sentence(row, comparison)
    low, high = (percent_number(ratio - 1) for ratio in row.interval)
    size = percent_number(row.ratio.ratio - 1)
    assert said.startswith(f"compiled is {size} % [{low}, {high}] faster than eager in output throughput (")
    assert f"at least {percent_number(row.bounds[0] - 1)} % with all {comparison.num_judged} comparisons" in said


def test_a_lower_latency_is_better_and_its_percentage_is_the_drop_of_the_latency(tmp_path):
    comparison = compared(tmp_path)
    row = row_of(comparison, "median_tpot_ms")
    assert row.finding is Finding.BETTER and row.ratio.ratio == pytest.approx(1 / 1.35, rel=0.02)
    said = sentence(row, comparison)
    assert said.startswith("compiled is 2") and "faster than eager in median TPOT" in said


def test_the_other_way_round_the_same_difference_is_worse(tmp_path):
    run = load_run(make_run(tmp_path, launches=TWO, repeats=6))
    comparison = compare(run.by_launch["compiled"], run.by_launch["eager"], ("compiled", "eager"))
    assert {row.finding for row in comparison.claims} == {Finding.WORSE}
    assert "eager is 2" in headlines(comparison)[0] and "slower" in headlines(comparison)[0]


def test_where_nothing_is_seen_it_is_said_what_could_not_have_been(tmp_path):
    comparison = compared(tmp_path, same_speed)
    row = row_of(comparison)
    assert row.finding is Finding.OPEN
    said = sentence(row, comparison)
    assert said.startswith("no difference seen in output throughput (")
    assert said.endswith(f"only one over {percent_number(row.detectable)} % would likely have been seen.")


def test_the_unit_of_replication_is_the_repeat_and_not_the_request(tmp_path):
    row = row_of(compared(tmp_path, repeats=4))
    assert row.num_base == row.num_other == 4 and row.ratio.degrees == 3


def test_an_invalid_repeat_and_its_partner_never_enter(tmp_path):
    def change(record):
        if record.identity.launch == "compiled" and record.identity.repeat == 2:
            absurd = record.model_copy(update={"values": {**record.values, "output_throughput_tok_s": 1e9}})
            return judged(absurd, "invalid", "requests_failed", "1 of 40 failed")
        return record

    comparison = compared(tmp_path, change)
    row = row_of(comparison)
    assert row.num_base == 5 and row.other < 1e6
    assert any("of compiled failed, are missing or INVALID" in said for said in caveats(comparison))


@pytest.mark.parametrize("lose", [failed, lambda record: None], ids=["failed", "missing"])
def test_a_repeat_that_one_launch_lost_takes_its_partner_out_of_the_pairs(tmp_path, lose):
    comparison = compared(tmp_path, lambda record: lose(record) if _is(record, "eager", 0) else record)
    assert {row.num_base for row in comparison.rows} == {5}
    assert any(said.startswith("2 of 12 repeats of eager") for said in caveats(comparison))


def test_a_suspect_repeat_enters_and_is_said(tmp_path):
    def change(record):
        return judged(record, "suspect", "stream_bunched", "seen") if _is(record, "compiled", 1) else record

    comparison = compared(tmp_path, change)
    row = row_of(comparison)
    assert row.num_base == 6 and row.num_suspect == 1
    assert "1 of the repeats behind it is SUSPECT" in sentence(row, comparison)
    assert any("2 of 12 repeats of compiled are SUSPECT (stream_bunched)" in said for said in caveats(comparison))
    assert "SUSPECT" not in sentence(row_of(compared(tmp_path / "clean")), comparison)


def test_a_clean_interleaved_comparison_has_no_caveat(tmp_path):
    assert caveats(compared(tmp_path)) == []


def test_rounds_that_were_not_held_in_turn_are_said(tmp_path):
    def change(record):
        minute = 2 * record.identity.repeat + (5 if record.identity.launch == "compiled" else 0)
        return record.model_copy(update={"started_utc": f"2026-11-23T20:{minute:02}:00+00:00"})

    assert any("not held in turn" in said for said in caveats(compared(tmp_path, change)))


def test_launches_that_were_measured_one_after_the_other_on_one_start_each_claim_nothing(tmp_path):
    def change(record):
        minute = record.identity.repeat + (30 if record.identity.launch == "compiled" else 0)
        return record.model_copy(update={"started_utc": f"2026-11-23T20:{minute:02}:00+00:00"})

    comparison = compared(tmp_path, change)
    assert not comparison.is_paired and not comparison.claims
    assert any("on one start each, one after the other" in said for said in caveats(comparison))


def theirs(way_ms=2.0, is_elsewhere=True, **changes):
    """Return a change of the second launch's records into those of a server that nobody started here."""

    def change(record):
        record = record.model_copy(update={key: told(record) for key, told in changes.items()})
        if record.identity.launch == "eager":
            return record
        attached = AttachedFacts(address="https://llm.example", is_elsewhere=is_elsewhere)
        host = record.host.model_copy(update={"attached": attached, "kind": "server", "ready_utc": None})
        conditions = Conditions.of(network={"before_ms": way_ms, "after_ms": way_ms})
        return record.model_copy(update={"host": host, "conditions": conditions})

    return change


def test_a_server_of_somebody_else_takes_turns_and_each_claim_says_what_it_is_of(tmp_path):
    comparison = compared(tmp_path, theirs())
    assert comparison.is_paired and row_of(comparison).finding is Finding.BETTER
    assert "; compiled is the one server that was there, on another machine" in sentence(row_of(comparison), comparison)
    (said,) = [said for said in caveats(comparison) if said.startswith("compiled is a server that nobody started here")]
    assert "at https://llm.example: all its rounds are of that one start" in said
    assert "on another machine, whose heat and neighbours" in said and "A round trip to it takes 2 ms, " in said


def test_one_on_this_machine_is_not_said_to_be_on_another(tmp_path):
    comparison = compared(tmp_path, theirs(is_elsewhere=False))
    assert not [said for said in (*caveats(comparison), sentence(row_of(comparison), comparison)) if "another" in said]


def test_a_server_of_somebody_else_out_of_turn_is_no_pair_and_claims_nothing(tmp_path):
    def started(record):
        minute = 2 * record.identity.repeat + (5 if record.identity.launch == "compiled" else 0)
        return f"2026-11-23T20:{minute:02}:00+00:00"

    comparison = compared(tmp_path, theirs(started_utc=started))
    assert not comparison.is_paired and not comparison.claims
    assert any(
        "were not measured in turn, and one of them is a server that nobody" in said for said in caveats(comparison)
    )


def test_different_prompts_of_the_two_launches_are_said(tmp_path):
    def change(record):
        return record.model_copy(update={"request_set_sha256": record.identity.launch})

    assert any("sent different prompts in 2 of 2 cases" in said for said in caveats(compared(tmp_path, change)))


def on_start(start_of_repeat):
    """Return a change that gives each repeat the start of its launch that `start_of_repeat` tells."""

    def change(record):
        start = start_of_repeat(record.identity.launch, record.identity.repeat)
        return record.model_copy(update={"host": having(record.host, ready_utc=f"2026-11-23T20:00:{start:02d}+00:00")})

    return change


def test_two_runs_are_not_paired_and_a_drift_between_them_is_not_excluded(tmp_path):
    comparison = compared(tmp_path, on_start(lambda launch, repeat: repeat), is_paired=False)
    row = row_of(comparison)
    assert (row.ratio.degrees, row.num_base, row.num_other) == (5, 6, 6) and row.interval
    assert any("not in turn" in said and "only one run of both" in said for said in caveats(comparison))


@pytest.mark.parametrize(
    ("start", "counts", "why"),
    [
        (lambda launch, repeat: 0, (1, 1), "one start shows no spread"),
        (lambda launch, repeat: repeat if launch == "eager" else 0, (6, 1), "one start shows no spread"),
        (lambda launch, repeat: repeat if launch == "compiled" else 0, (1, 6), "one start shows no spread"),
        (lambda launch, repeat: repeat % 2, (2, 2), "two starts are too few"),
    ],
)
def test_two_runs_of_too_few_starts_have_no_interval_and_say_what_to_do(tmp_path, start, counts, why):
    comparison = compared(tmp_path, on_start(start), is_paired=False)
    row, told = row_of(comparison), " ".join(caveats(comparison))
    assert (row.num_base, row.num_other) == counts and row.interval is None and not comparison.claims
    assert f"here are {counts[0]} of eager and {counts[1]} of compiled" in told and "repeats: {starts: 5}" in told
    said = sentence(row, comparison)
    assert "→" in said and f"no interval and no claim, since {why}" in said


def test_starts_that_are_not_noted_count_as_one(tmp_path):
    change = on_start(lambda launch, repeat: repeat)

    def unnoted(record):
        return record.model_copy(update={"host": having(change(record).host, ready_utc=None)})

    assert row_of(compared(tmp_path, unnoted, is_paired=False)).num_base == 1


def test_what_counts_of_two_runs_is_the_mean_of_each_start(tmp_path):
    comparison = compared(tmp_path, on_start(lambda launch, repeat: repeat % 3), is_paired=False)
    row, (case, *_) = row_of(comparison), comparison.cases
    values = {key: record.values[row.metric.key] for key, record in case.base.believed.items()}
    means = [math.sqrt(values[start] * values[start + 3]) for start in range(3)]
    assert row.base == pytest.approx(statistics.geometric_mean(means)) and row.num_base == 3
    assert row.ratio.degrees == 2 and "A start, with all its repeats, counts as one" in how_to_read(comparison)


def test_conditions_that_differ_besides_the_launch_are_named(tmp_path):
    def change(record):
        parts = dict.fromkeys(("launch", "packages", "seed"), record.identity.launch) | {"device": "same"}
        identity = record.identity.model_copy(update={"fingerprint_parts": parts})
        return record.model_copy(update={"identity": identity})

    assert "Besides the launches, this differs: packages." in caveats(compared(tmp_path, change))


def test_a_case_of_one_launch_only_is_named_and_not_compared(tmp_path):
    def change(record):
        return None if record.identity.launch == "eager" and record.workload.get("max_concurrency") == 8 else record

    comparison = compared(tmp_path, change, concurrencies=(4, 8))
    assert not any("max_concurrency=8" in row.case for row in comparison.rows)
    assert any("one of the launches only" in said and "8 requests in flight" in said for said in caveats(comparison))


def test_one_repeat_gives_a_ratio_and_no_claim(tmp_path):
    comparison = compared(tmp_path, repeats=1)
    assert {row.finding for row in comparison.rows} == {Finding.UNKNOWN}
    assert "no interval and no claim" in sentence(row_of(comparison), comparison)
    assert any("nothing can be told from chance" in said for said in caveats(comparison))


def test_with_two_repeats_even_a_third_faster_is_not_claimed(tmp_path):
    comparison = compared(tmp_path, repeats=2)
    row = row_of(comparison)
    assert {row.finding for row in comparison.rows} == {Finding.UNKNOWN} and row.bounds is None
    assert "no interval and no claim, since two repeats are too few" in sentence(row, comparison)
    assert [said for said in caveats(comparison) if "but two pairs there is no interval to speak of" in said]


def test_what_hardly_any_difference_could_have_shown_in_says_so_without_a_number():
    wild = paired_ratio([1.0] * 3, [1.0, 3.0, 0.6])
    row = replace(ROW, ratio=wild, confidence=0.999, num_base=3, num_other=3)
    assert row.finding is Finding.OPEN and row.detectable is None and row.bounds is None
    said = sentence(row, Comparison("a", "b", True, (), (), (row,)))
    assert "with 3 repeats hardly any would have been seen" in said and "1,000" not in said


def test_all_cases_of_a_benchmark_together_come_first_by_round(tmp_path):
    comparison = compared(tmp_path, concurrencies=(1, 2, 4, 8))
    together, *others = comparison.rows
    assert (together.num_cases, together.case) == (8, "8 serve cases together")
    headline = [row for row in others if row.is_headline]
    assert together.base == pytest.approx(statistics.geometric_mean(row.base for row in headline))
    assert len(headlines(comparison)) == 1, "cases that are covered by the line over all are in the table"


def test_half_of_the_error_is_kept_for_the_headlines_and_half_for_the_rest():
    told = replace(ROW, ratio=paired_ratio([1.0] * 4, [1.01, 1.0, 0.99, 1.02]))
    rows = _judged([told, *[replace(told, is_headline=False)] * 6], 1)
    for is_headline in (True, False):
        errors = [1 - row.confidence for row in rows if row.is_headline is is_headline]
        assert len(set(errors)) == 1 and sum(errors) == pytest.approx(0.025)


def test_all_cases_together_keep_half_of_what_the_headlines_bounds_may_err(tmp_path):
    together, *others = compared(tmp_path, concurrencies=(1, 2, 4, 8)).rows
    assert together.num_cases == 8 and 1 - together.confidence == pytest.approx(0.0125)
    assert together.level == pytest.approx(0.025) and max(row.level for row in others) < 0.025


def test_a_row_that_only_its_own_interval_would_call_different_claims_nothing(tmp_path):
    rows = [
        (row, comparison)
        for number in range(6)
        for comparison in [compared(tmp_path / str(number), slightly_faster, concurrencies=(1, 2, 4, 8))]
        for row in comparison.rows
        if row.finding is Finding.OPEN and not row.interval[0] <= 1 <= row.interval[1]
    ][:3]
    assert rows
    for row, comparison in rows:
        said = sentence(row, comparison)
        assert said.startswith("no claim of a difference in ") and "which chance does once in twenty" in said


def test_a_claim_that_holms_steps_make_and_the_bounds_do_not_says_that_its_least_size_is_open():
    ratio = paired_ratio([1.0, 1.0, 1.0, 1.0], [1.03, 1.04, 1.05, 1.045])
    row = replace(ROW, ratio=ratio, confidence=0.9999, is_claimed=True)
    assert row.bounds[0] < 1 < row.interval[0] and row.finding is Finding.BETTER
    assert "by how much at least is open" in sentence(row, Comparison("a", "b", True, (), (), (row,)))


def test_a_claim_that_may_be_tiny_says_so():
    row = replace(ROW, ratio=paired_ratio([1.0] * 4, [1.006, 1.007, 1.008, 1.0075]), is_claimed=True)
    assert sentence(row, Comparison("a", "b", True, (), (), (row,))).endswith("; it may be too little to matter.")


def test_the_others_get_the_whole_error_once_every_headline_is_claimed():
    clear, doubtful = (
        paired_ratio([1.0] * 8, [math.exp(middle + 0.01 * step) for step in range(-4, 4)]) for middle in (0.1, 0.026)
    )
    headline, other = replace(ROW, ratio=clear), replace(ROW, ratio=doubtful, is_headline=False)
    assert 0.025 < other.ratio.p_value < 0.05
    assert [row.is_claimed for row in _judged([headline, other], 1)] == [True, True]
    weak = replace(headline, ratio=paired_ratio([1.0] * 8, [1.1, 0.9] * 4))
    assert [row.is_claimed for row in _judged([weak, other], 1)] == [False, False]


def test_comparisons_shown_side_by_side_share_the_error(tmp_path):
    run = load_run(make_run(tmp_path, launches=("eager", "compiled", "third"), repeats=4, benchmarks=("serve",)))
    comparisons = comparisons_of(run)
    assert [(one.base, one.other) for one in comparisons] == [("eager", "compiled"), ("eager", "third")]
    assert sum(1 - row.confidence for one in comparisons for row in one.rows) == pytest.approx(0.05)


def test_an_open_loop_is_headed_by_its_latency_since_its_throughput_is_what_was_offered(tmp_path):
    def vary(benchmark, workload):
        return [{**workload, "max_concurrency": cap, "request_rate_rps": 2.0} for cap in (None, 4)]

    options = {"launches": TWO, "repeats": 6, "concurrencies": (4,), "benchmarks": ("serve",)}
    run = load_run(make_run(tmp_path, **options, vary=vary))
    (comparison,) = comparisons_of(run)
    rows = [row for row in comparison.rows if row.num_cases == 1]
    assert len({row.name for row in rows}) == 4
    assert {row.metric.key for row in rows if row.is_headline} == {"mean_e2el_ms"}


def test_every_compared_metric_has_a_direction_and_belongs_to_its_benchmark():
    for benchmark in BENCHMARKS.values():
        for key in (*benchmark.others, *benchmark.spread_by, *([benchmark.headline] if benchmark.headline else [])):
            assert BY_KEY[key].higher_is_better is not None and benchmark.name in BY_KEY[key].benchmarks


def test_a_comparison_that_can_tell_nothing_says_so_once_and_speaks_of_no_claims(tmp_path):
    comparison = compared(tmp_path, repeats=1)
    assert comparison.num_judged == 0
    assert tally(comparison) == f"{len(comparison.rows)} comparisons of compiled with eager, of which none can be told."
    said = how_to_read(comparison)
    assert "nothing is claimed" in said and "all 0" not in said and "Holm" not in said and "'Sees'" not in said
    _, caption = forest_figure(comparison)
    assert "nothing is claimed" in caption and "95 % interval" not in caption


def test_values_are_said_to_be_other_means_than_those_of_the_table_of_results(tmp_path):
    assert "geometric means" in how_to_read(compared(tmp_path))


@pytest.mark.parametrize(
    ("repeats", "said"), [(1, "Three of each"), (2, "Three of each"), (3, "By the spread seen, about")]
)
def test_too_few_repeats_come_with_how_many_to_measure(tmp_path, repeats, said):
    assert any(said in sentence for sentence in caveats(compared(tmp_path, repeats=repeats)))


def test_the_number_of_repeats_advised_is_the_first_that_would_likely_show_the_difference():
    seen = paired_ratio([1.0, 1.0, 1.0], [1.0, 1.03, 0.98])
    number = seen.repeats_for(0.05, 3)
    shown = [
        replace(seen, log_error=seen.log_error * math.sqrt(3 / n), degrees=n - 1).detectable()
        for n in (number - 1, number)
    ]
    assert shown[0] > 0.05 >= shown[1]
    assert seen.repeats_for(10.0, 3) == 3 and seen.repeats_for(1e-6, 3) is None
    assert paired_ratio([1.0], [1.1]).repeats_for(0.05, 1) is None


def test_the_tally_counts_every_row(tmp_path):
    comparison = compared(tmp_path)
    assert tally(comparison).startswith(f"{len(comparison.rows)} comparisons of compiled with eager: ")
    assert f"{len(comparison.claims)} better, 0 worse" in tally(comparison)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0612, "6.1"), (-0.015, "-1.5"), (0.0004, "0.04"), (0.0, "0.0"), (1.84, "184"), (18.4, "1,840")],
)
def test_percentages_are_short(share, text):
    assert percent_number(share) == text


def _is(record, launch, repeat):
    return (record.identity.launch, record.identity.repeat) == (launch, repeat)


@pytest.mark.parametrize(
    ("share", "told"), [(0.04, "4.0 %"), (0.199, "19.9 %"), (0.25, "+25.0 or -20.0 %"), (2.96, "+296 or -74.7 %")]
)
def test_what_would_have_been_seen_is_told_in_both_directions_where_they_are_not_alike(share, told):
    assert detectable_text(share) == told
