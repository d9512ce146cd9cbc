"""The sentences of a report: right numbers, rules that are said, contradictions that are named."""

import pytest
from benchbook.report.answer import answer, verdict_sentence
from benchbook.report.caveats import RANDOM_WEIGHTS, caveats, threats
from benchbook.report.reading import latency_reading, stops_scaling_at, throughput_reading, tradeoff_reading
from benchbook.report.references import references
from benchbook.report.run import load_run
from benchbook.report.slo import slo_sentences
from report_runs import failed, judged, make_run


def scaled(record, key, factor):
    return record.model_copy(update={"values": {**record.values, key: record.values[key] * factor}})


@pytest.mark.parametrize(
    ("means", "stop"),
    [
        ({1: 100, 2: 190, 4: 300, 8: 310, 16: 305}, 4),
        ({1: 100, 2: 190, 4: 300}, None),
        ({1: 100, 2: 101, 4: 300}, None),  # a slow step before a fast one is no stop
        ({8: 100}, None),
        ({1: 100, 16: 140}, 1),  # 1.088 a doubling
        ({1: 100, 16: 150}, None),  # 1.107 a doubling
    ],
)
def test_scaling_stops_where_every_further_doubling_adds_less_than_a_tenth(means, stop):
    assert stops_scaling_at(means) == stop


def test_the_answer_begins_with_the_peak_its_spread_and_its_concurrency(tmp_path):
    run = load_run(make_run(tmp_path))
    peak = run.table.query("input_len_tokens == 128 and max_concurrency == 8")["output_throughput_tok_s"].mean()
    headline, scaling, latency = answer(run)
    assert headline.startswith(f"Output throughput peaks at {peak:,.0f} ± ")
    assert headline.endswith("(2 repeats) with 8 requests in flight (eager, 128 in / 64 out).")
    assert "still scales at 8" in scaling
    assert "median TTFT is" in latency


def test_one_repeat_says_that_its_spread_is_unknown(tmp_path):
    run = load_run(make_run(tmp_path, repeats=1, concurrencies=(8,)))
    assert "(1 repeat, spread unknown)" in answer(run)[0]
    assert "the only concurrency tried" in answer(run)[0]
    assert any("measured once" in sentence for sentence in caveats(run))


def test_a_run_that_measured_nothing_names_the_most_frequent_cause(tmp_path):
    run = load_run(make_run(tmp_path, change=failed))
    assert answer(run) == [
        "Nothing was measured: 24 repeats failed and 0 are missing. The most frequent cause is out_of_memory."
    ]


def test_a_run_without_serve_cases_answers_with_its_offline_numbers(tmp_path):
    (headline,) = answer(load_run(make_run(tmp_path, benchmarks=("latency", "throughput"))))
    assert headline.startswith("Offline, throughput mode reaches 1,4")
    assert "a batch of 8 takes" in headline


def test_random_weights_are_said(tmp_path):
    assert RANDOM_WEIGHTS in caveats(load_run(make_run(tmp_path)))


def test_failed_missing_and_doubtful_repeats_are_said(tmp_path):
    def change(record):
        if record.benchmark == "latency":
            return failed(record)
        if record.benchmark == "throughput":
            return judged(record, "suspect", "cold", "first use") if record.identity.repeat else None
        return record

    said = " ".join(caveats(load_run(make_run(tmp_path, change=change, state="interrupted"))))
    assert "4 failed and 1 missing repeats are in no figure" in said
    assert "1 measured repeat is SUSPECT" in said
    assert "interrupted" in said


def test_the_slo_allows_only_cases_whose_every_repeat_stays_within_it(tmp_path):
    def change(record):  # one slow repeat spoils its case
        is_spoiled = "max_concurrency=4" in record.identity.case_id and record.identity.repeat == 1
        return scaled(record, "p99_ttft_ms", 10) if is_spoiled else record

    run = load_run(make_run(tmp_path, change=change, slo={"p99_ttft_ms": 45.0}))
    first, other = slo_sentences(run)
    assert first.startswith("Within the SLO (p99 TTFT at most 45 ms, in every repeat) the most is ")
    assert ", with 2 requests in flight (eager, 128 in / 64 out); the first concurrency that breaks it is" in first
    assert "that breaks it is 4 requests in flight: p99 TTFT 2" in first
    assert other.startswith("On another line it is ") and "with 1 request in flight (eager, 512 in / 64 out)" in other
    assert answer(run)[:2] == [first, other], "who sets an SLO asks for it"


def test_a_load_that_only_some_repeats_break_says_how_many(tmp_path):
    def change(record):
        is_spoiled = "max_concurrency=2" in record.identity.case_id and record.identity.repeat == 1
        return scaled(record, "p99_ttft_ms", 1.5) if is_spoiled else record

    first = slo_sentences(load_run(make_run(tmp_path, repeats=3, change=change, slo={"p99_ttft_ms": 40.0})))[0]
    assert "the first concurrency that breaks it is 2 requests in flight: p99 TTFT 4" in first
    assert "ms in 1 of 3 repeats, though a higher one keeps it again" not in first


def test_an_slo_that_nothing_breaks_says_so(tmp_path):
    first = slo_sentences(load_run(make_run(tmp_path, slo={"p99_ttft_ms": 1e6})))[0]
    assert first.endswith("with 8 requests in flight (eager, 128 in / 64 out); no concurrency tried breaks it.")


def test_an_slo_that_nothing_meets_or_that_no_metric_has_is_said(tmp_path):
    run = load_run(make_run(tmp_path, slo={"p99_ttft_ms": 1.0, "p99_latency": 3.0}))
    unknown, none_within, *_ = slo_sentences(run)
    assert "p99_latency cannot be checked" in unknown
    assert none_within.startswith("No load tried keeps the SLO (p99 TTFT at most 1 ms, in every repeat): with 1 request")


def test_an_slo_without_a_serve_case_says_that_it_was_not_checked(tmp_path):
    run = load_run(make_run(tmp_path, benchmarks=("latency",), slo={"p99_ttft_ms": 1.0}))
    assert "could not be checked: no serve case gave a number" in answer(run)[1]


def test_a_ceiling_below_serving_is_a_contradiction(tmp_path):
    def change(record):
        return scaled(record, "output_throughput_tok_s", 0.3) if record.benchmark == "throughput" else record

    first = references(load_run(make_run(tmp_path, change=change)))[0]
    assert first.startswith("Contradiction. 128 in / 64 out: throughput mode reaches")
    assert "with 64 prompts, serving" in first and "prompts do not fill the engine" in first


def test_a_floor_above_the_latency_under_load_is_a_contradiction(tmp_path):
    def change(record):
        return scaled(record, "avg_batch_latency_s", 2) if record.benchmark == "latency" else record

    first = references(load_run(make_run(tmp_path, change=change)))[0]
    assert first.startswith("Contradiction. 128 in / 64 out: a batch of one takes")


def test_what_the_judge_lets_pass_the_report_does_not_call_a_contradiction(tmp_path):
    def change(record):  # a floor 8 % above one request served alone, but below two in flight
        return scaled(record, "avg_batch_latency_s", 1.3) if record.benchmark == "latency" else record

    run = load_run(make_run(tmp_path, change=change))
    _, floor = references(run)
    assert "0.93 times as long" in floor
    assert not any(why.code == "floor_above_load" for record in run.records for why in record.reasons)


def test_serving_within_its_bounds_is_compared_with_both(tmp_path):
    ceiling, floor = references(load_run(make_run(tmp_path)))
    assert "98% of throughput mode" in ceiling
    assert "1.21 times as long" in floor


def test_every_line_is_read_once_in_each_reading(tmp_path):
    run = load_run(make_run(tmp_path, launches=("eager", "compiled")))
    for reading in (throughput_reading, latency_reading, tradeoff_reading):
        sentences = reading(run)
        assert [sentence.split(":")[0] for sentence in sentences] == [line.label for line in run.lines]


def test_a_p99_of_few_requests_is_a_threat(tmp_path):
    assert any("as few as 10 requests" in sentence for sentence in threats(load_run(make_run(tmp_path))))


@pytest.mark.parametrize(
    ("reached", "said"),
    [({"a": 0.011, "b": 0.034}, "1 of 2 means are known less well, the widest to ±3%"), ({"a": 0.01}, "0 of 1 means")],
)
def test_added_rounds_are_told_with_what_they_reached(tmp_path, reached, said):
    until = {"at_most": 9, "targets": {"output_throughput_tok_s": 0.02}}
    known = {case_id: {"output_throughput_tok_s": width} for case_id, width in reached.items()}
    sentences = " ".join(caveats(load_run(make_run(tmp_path, until=until, reached=known))))
    assert "at least 2 times" in sentences and "output_throughput_tok_s to ±2 %" in sentences and said in sentences
    assert "was planned with" not in sentences


def test_without_targets_nothing_is_said_of_rounds_that_are_added(tmp_path):
    assert "planned with 2 repeats" in " ".join(caveats(load_run(make_run(tmp_path))))
