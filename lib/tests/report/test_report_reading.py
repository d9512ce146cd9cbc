"""The sentences of a report: right numbers, rules that are said, contradictions that are named."""

import dataclasses
from types import SimpleNamespace

import pytest
from benchbook.judge.answerable import why_no_answer
from benchbook.judge.knee import first_unreached, stops_scaling_at
from benchbook.records.record import SentSet
from benchbook.report.answer import answer, verdict_sentence, why_not
from benchbook.report.caveats import RANDOM_WEIGHTS, caveats, threats
from benchbook.report.curves import serve_curves
from benchbook.report.reading import latency_reading, throughput_reading, tradeoff_reading
from benchbook.report.references import references
from benchbook.report.repeat.readings import latency_reading as one_batch_reading
from benchbook.report.run import load_run
from benchbook.report.sentences import peak_sentence
from benchbook.report.slo import slo_sentences
from benchbook.terms.asked import Offered
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


def test_the_answer_begins_with_what_throughput_gains_up_to_its_peak_and_what_users_wait_for_it(tmp_path):
    run = load_run(make_run(tmp_path))
    rows = run.table.query("input_len_tokens == 128").groupby("max_concurrency").mean(numeric_only=True)
    (low, peak), waits = (rows["output_throughput_tok_s"][load] for load in (1, 8)), rows["median_ttft_ms"]
    headline, rest, beside = answer(run)
    assert headline.startswith("From 1 to 8 requests in flight, output throughput rises from ")
    assert (
        f" from {low:,.0f} to {peak:,.0f} ± " in headline
        and "(2 repeats of one start) with the most that was tried, while" in headline
    )
    assert f"while median TTFT goes from {waits[1]:.1f} to {waits[8]:.1f} ± " in headline
    assert " and median TPOT from 2." in headline and headline.endswith(" ms (eager, 128 in / 64 out).")
    assert "still scales at 8" in rest
    assert rest.startswith("With 8 requests in flight, p99 TTFT is") and "median" not in rest
    assert beside.startswith("Output throughput is highest with the most that was tried, ")
    assert beside.endswith("(eager, 512 in / 64 out).")


def test_what_is_highest_before_the_most_that_was_tried_is_a_peak(tmp_path):
    def change(record):
        falls = record.workload.get("max_concurrency") == 8
        return scaled(record, "output_throughput_tok_s", 0.6) if falls else record

    headline, *_, beside = answer(load_run(make_run(tmp_path, concurrencies=(1, 4, 8), change=change)))
    assert headline.startswith("From 1 to 4 requests in flight") and ", its peak, while" in headline
    assert beside.startswith("Output throughput peaks at ") and "with 4 requests in flight" in beside


def test_a_line_that_is_highest_at_its_least_load_is_told_by_its_peak(tmp_path):
    def change(record):
        falls = record.workload.get("max_concurrency") == 8
        return scaled(record, "output_throughput_tok_s", 0.01) if falls else record

    headline, rest, _ = answer(load_run(make_run(tmp_path, concurrencies=(1, 8), change=change)))
    assert headline.startswith("Output throughput peaks at ") and "with 1 request in flight" in headline
    assert rest.startswith("With 1 request in flight, median TTFT is ")


def test_lengths_at_one_load_are_all_in_the_headline(tmp_path):
    headline = answer(load_run(make_run(tmp_path, concurrencies=(8,))))[0]
    assert headline.count("the only concurrency tried") == 2
    assert "(eager, 128 in / 64 out)" in headline and "(eager, 512 in / 64 out)" in headline


def test_one_repeat_says_that_its_spread_is_unknown(tmp_path):
    run = load_run(make_run(tmp_path, repeats=1, concurrencies=(8,)))
    assert "(1 repeat, spread unknown)" in answer(run)[0]
    assert "the only concurrency tried" in answer(run)[0]
    assert any("measured once" in sentence for sentence in caveats(run))


@pytest.mark.parametrize(
    ("least", "repeats", "said"),
    [
        (8, (0, 1), " No repeat there is VALID; the highest that has one is "),
        (1, (0, 1), " No repeat of this curve is VALID."),
        (8, (0,), ""),  # the other one is
        (99, (), ""),
    ],
)
def test_a_peak_that_no_valid_repeat_holds_says_so_and_names_the_highest_that_one_holds(tmp_path, least, repeats, said):
    def change(record):
        is_meant = record.benchmark == "serve" and record.workload["max_concurrency"] >= least
        doubted = is_meant and record.identity.repeat in repeats
        return judged(record, "suspect", "compiled_while_measuring", "seen") if doubted else record

    run = load_run(make_run(tmp_path, change=change))
    (curves,) = serve_curves(run.table, run.curve_of)
    sentence = peak_sentence(curves.lines[0])
    assert sentence.partition("(eager, 128 in / 64 out).")[2][: len(said) or None] == said
    assert sentence.endswith("tok/s with 4 requests in flight.") is ("highest" in said)


def test_a_run_that_measured_nothing_names_the_most_frequent_cause(tmp_path):
    run = load_run(make_run(tmp_path, change=failed))
    assert answer(run) == [
        "Nothing was measured: 24 repeats failed and 0 are missing. The most frequent cause is out_of_memory."
    ]


def test_a_run_without_serve_cases_answers_with_its_offline_numbers(tmp_path):
    (headline,) = answer(load_run(make_run(tmp_path, benchmarks=("latency", "throughput"))))
    assert headline.startswith("Offline, throughput mode reaches 1,4")
    assert "a batch of 8 takes" in headline


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (Offered(by="num_prompts", value=80), "With 80 requests at once (eager, 128 tokens in, 64 out): "),
        (
            Offered(by="request_rate_rps", value=5.4, ramp="1 to 16 linear"),
            "At 1 to 16 req/s, rising linearly (eager, 128",
        ),
        (
            Offered(by="request_rate_rps", value=3.7, at_most=4, ramp="2 to 8 exponential"),
            "exponentially, at most 4 in flight (eager, 128",
        ),
        (
            Offered(by="request_rate_rps", value=2.5, ramp="as recorded"),
            "At 2.5 req/s on average, as recorded (eager, 128",
        ),
    ],
)
def test_a_load_that_is_no_point_of_a_curve_has_a_sentence_of_its_own(tmp_path, load, said):
    def change(record):
        return record.model_copy(update={"load": load}) if record.workload["max_concurrency"] == 4 else record

    run = load_run(make_run(tmp_path, benchmarks=("serve",), change=change))
    (line,) = [line for line in answer(run) if said in line]
    assert "output tok/s" in line and "median TTFT" in line
    assert not any(said in line for line in answer(load_run(make_run(tmp_path / "plain", benchmarks=("serve",)))))


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
    assert " with 2 requests in flight (eager, 128 in / 64 out); the first concurrency that breaks it is" in first
    assert "that breaks it is 4 requests in flight: p99 TTFT 2" in first
    assert other.startswith("eager, 512 in / 64 out: the most is ") and " with 1 request in flight; the first" in other
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
    assert none_within.startswith("No load tried keeps the SLO (p99 TTFT at most 1 ms, in every repeat): with 1 ")


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


def test_what_is_said_of_random_tokens_is_taken_back_for_sets(tmp_path):
    def of_set(record):
        sent = SentSet(name="chat", sha256="", start=0, endpoint="chat", ends_by="any", sampling={})
        return record.model_copy(update={"requests": sent if record.workload["max_concurrency"] > 2 else None})

    for folder, change, is_said in (("a", of_set, True), ("b", lambda record: record, False)):
        said = threats(load_run(make_run(tmp_path / folder, benchmarks=("serve",), change=change)))
        assert any("does not hold for what was sent of chat" in sentence for sentence in said) is is_said


@pytest.mark.parametrize(("loads", "is_said"), [({}, True), ({"concurrencies": (), "rates": (2, 4)}, False)])
def test_what_a_closed_loop_cannot_tell_is_said_of_closed_loops_only(tmp_path, loads, is_said):
    said = threats(load_run(make_run(tmp_path, benchmarks=("serve",), **loads)))
    assert any("closed loop" in sentence for sentence in said) is is_said


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


@pytest.mark.parametrize(("searched", "said"), [(0, "Every case was"), (1, "Every other case was"), (-1, "")])
def test_cases_of_a_search_were_not_planned_with_a_number_of_repeats(tmp_path, searched, said):
    run = load_run(make_run(tmp_path))
    ids = [case.case_id for case in run.plan]
    finds = (SimpleNamespace(cases=ids[:searched] if searched >= 0 else ids),) if searched else ()
    sentences = " ".join(caveats(dataclasses.replace(run, header=run.header.model_copy(update={"finds": finds}))))
    assert ("A search measures a load as often" in sentences) is bool(searched)
    assert f"{said} planned with 2 repeats" in sentences if said else "was planned" not in sentences


def test_without_targets_nothing_is_said_of_rounds_that_are_added(tmp_path):
    assert "planned with 2 repeats" in " ".join(caveats(load_run(make_run(tmp_path))))


def test_a_floor_that_is_suspect_is_none_to_rely_on(tmp_path):
    def change(record):
        is_offline = record.benchmark in ("latency", "throughput")
        return judged(record, "suspect", "machine_busy", "seen") if is_offline and record.identity.repeat else record

    ceiling, floor = references(load_run(make_run(tmp_path, change=change)))
    assert "1 of 2 repeats of throughput mode are SUSPECT (machine_busy), so this is no ceiling to rely on" in ceiling
    assert "1 of 2 repeats of latency mode are SUSPECT (machine_busy), so this is no floor to rely on" in floor


@pytest.mark.parametrize("verdict", ["valid", "suspect"])
def test_a_latency_case_is_called_a_floor_only_where_it_may_be_believed(tmp_path, verdict):
    run = load_run(make_run(tmp_path, benchmarks=("latency",)))
    record = run.records[0]
    if verdict == "suspect":
        record = judged(record, "suspect", "machine_busy", "seen")
    said = " ".join(one_batch_reading(record, {}))
    assert ("SUSPECT (machine_busy): it is no floor" in said) is (verdict == "suspect")
    assert "No server can" not in said


def test_an_open_loop_says_which_rate_it_holds_how_long_users_wait_and_where_it_falls_behind(tmp_path):
    run = load_run(make_run(tmp_path, concurrencies=(), rates=(2, 8, 12)))
    headline = answer(run)[0]
    assert headline.startswith("The server holds 8 req/s with p99 TTFT 1") and "median TTFT 1" in headline
    assert "from 12 req/s on it falls behind: of 12 offered it answers " in headline
    assert not any("believe" in sentence for sentence in answer(run))
    readings = throughput_reading(run), latency_reading(run), tradeoff_reading(run)
    assert readings[0][0].startswith("128 in / 64 out: between 2 and 12 req/s, what is answered goes from ")
    assert readings[0][0].endswith("From 12 req/s on it falls behind.")
    assert readings[1][0].startswith("128 in / 64 out: between 2 and 12 req/s, median TTFT goes from")
    assert readings[2][0].startswith("128 in / 64 out: at 2 req/s a user sees")


def test_a_rate_that_is_reached_counts_as_held_however_short_the_measurement_was(tmp_path):
    """100 requests at 8 req/s take 12.5 s and the last answer: less is answered a second than was offered."""
    run = load_run(make_run(tmp_path, concurrencies=(), rates=(2, 8)))
    assert all(line.means("request_throughput_rps")[8] < 7.9 for line in run.lines)
    assert answer(run)[0].startswith("The server holds 8 req/s, the most tried, with ")


def test_an_open_loop_with_an_slo_opens_with_the_rate_that_keeps_it_and_the_first_that_does_not(tmp_path):
    run = load_run(make_run(tmp_path, concurrencies=(), rates=(2, 4, 8, 12), slo={"p99_ttft_ms": 45.0}))
    first, other, *rest = answer(run)
    assert first.startswith("Within the SLO (p99 TTFT at most 45 ms, in every repeat) the most is 2 req/s, 127 ± ")
    assert " tok/s (eager, 128 in / 64 out); the first rate that breaks it is" in first
    assert "; the first rate that breaks it is 4 req/s: p99 TTFT 4" in first
    assert other.startswith("eager, 512 in / 64 out: no rate keeps it; at 2 req/s, the least tried, p99 TTFT ")
    assert rest[0].startswith("The server holds 8 req/s with ")


def test_a_rate_at_which_the_server_falls_behind_keeps_no_slo(tmp_path):
    run = load_run(make_run(tmp_path, concurrencies=(), rates=(2, 12), slo={"p99_tpot_ms": 1000.0}))
    assert "that breaks it is 12 req/s: the server falls behind and answers " in answer(run)[0]


@pytest.mark.parametrize("name", ["p50_ttft_ms", "median_ttft_ms"])
def test_an_slo_on_the_median_is_checked_by_either_name_of_it(tmp_path, name):
    first = slo_sentences(load_run(make_run(tmp_path, slo={name: 30.0})))[0]
    assert "median TTFT at most 30 ms" in first and "that breaks it is 8 requests in flight: median TTFT 4" in first


def test_goodput_is_said_with_its_limits_and_its_share(tmp_path):
    def vary(benchmark, workload):
        return [{**workload, "slo_ttft_ms": 200.0, "slo_tpot_ms": None}] if benchmark == "serve" else [workload]

    def change(record):
        if record.benchmark != "serve":
            return record
        rate, answered = record.workload["request_rate_rps"], record.values["request_throughput_rps"]
        good = answered * (0.95 if rate < 8 else 0.25)
        return record.model_copy(update={"values": {**record.values, "request_goodput_rps": good}})

    said = " ".join(answer(load_run(make_run(tmp_path, concurrencies=(), rates=(2, 4, 8), vary=vary, change=change))))
    assert "Goodput, what meets TTFT at most 200 ms, is highest at 4 req/s: 3.7" in said
    assert "95% of what is answered; at 8 req/s it is 25%" in said


def test_a_run_of_closed_and_open_loops_answers_for_both(tmp_path):
    said = answer(load_run(make_run(tmp_path, rates=(2, 8))))
    assert said[0].startswith("From 1 to 8 requests in flight, output throughput rises from ")
    assert any("holds 8 req/s, the most tried" in text for text in said)


def disturbed(record):
    """Return a serve repeat as a busy machine leaves it: one of two is half as fast."""
    if record.benchmark != "serve":
        return record
    factor = 0.5 if record.identity.repeat == 0 else 1.2
    record = scaled(scaled(record, "output_throughput_tok_s", factor), "median_e2el_ms", 1 / factor)
    return judged(record, "suspect", "machine_busy", "seen") if record.identity.repeat == 0 else record


def test_a_disturbed_run_opens_with_why_it_cannot_answer_and_never_with_a_number(tmp_path):
    run = load_run(make_run(tmp_path, change=disturbed))
    headline, seen, *_ = answer(run)
    assert headline == str(why_no_answer(run.records))
    assert headline.startswith("This run cannot answer: 16 of 16 serve repeats are not VALID (repeats_disagree 16, ")
    assert "some have several reasons" in headline and "tok/s" not in headline
    assert seen.startswith("Seen all the same, and not to be relied on: Output throughput is anything from ")
    assert "their mean says little" in seen and "±" not in seen
    assert "repeats_disagree 16, machine_busy 8; some have several reasons" in verdict_sentence(run)


def test_the_mean_of_repeats_that_contradict_each_other_is_never_a_headline(tmp_path):
    def change(record):  # only the highest case is disturbed: the run as a whole can answer
        return disturbed(record) if record.workload.get("max_concurrency") == 8 else record

    run = load_run(make_run(tmp_path, change=change))
    assert why_no_answer(run.records) is None
    told = answer(run)  # of the highest line, and of the other lengths
    assert len(told) == 2 and all(one.startswith("Output throughput is anything from ") for one in told)
    assert "The repeats disagree at 8, and their mean says little." in throughput_reading(run)[0]
    assert not any("of throughput mode" in sentence for sentence in references(run))


def test_a_step_from_repeats_that_contradict_each_other_is_never_told(tmp_path):
    def change(record):  # the peak is sound, what lies before it is not
        return disturbed(record) if record.workload.get("max_concurrency") == 1 else record

    said = " ".join(answer(load_run(make_run(tmp_path, change=change))))
    assert "Where it stops scaling cannot be told. The repeats disagree at 1, and their mean says little" in said
    assert "added" not in said and "added" in " ".join(answer(load_run(make_run(tmp_path / "sound"))))


def test_several_launches_open_with_the_claim_its_interval_and_its_least_size(tmp_path):
    run = load_run(make_run(tmp_path, launches=("eager", "compiled"), concurrencies=(8,), repeats=6, change=only_128))
    headline = answer(run)[0]
    assert headline.startswith("compiled is 3") and "] faster than eager in output throughput (1,4" in headline
    assert "comparisons allowed for (serve, 128 in / 64 out, 8 requests in flight)." in headline


def test_two_launches_over_a_curve_are_told_together_and_then_between_which_changes_the_cases_lie(tmp_path):
    run = load_run(make_run(tmp_path, launches=("eager", "compiled"), repeats=6))
    headline, spread, *rest = answer(run)
    assert headline.startswith("compiled is 3") and headline.endswith("(8 serve cases together).")
    assert spread.startswith("Case by case it goes from +3") and "requests in flight) to +3" in spread
    assert any("faster than eager in batch latency, average" in sentence for sentence in rest)


def test_the_cases_of_two_launches_are_told_one_by_one_where_they_are_few(tmp_path):
    def change(record):
        is_eager, is_short = record.identity.launch == "eager", record.workload.get("input_len_tokens") == 128
        return scaled(record, "output_throughput_tok_s", 1.0 if is_eager or is_short else 1 / 1.35)

    options = {"concurrencies": (8,), "repeats": 6, "benchmarks": ("serve",), "change": change}
    _, cases, *_ = answer(load_run(make_run(tmp_path, launches=("eager", "compiled"), **options)))
    assert (
        cases.startswith("Case by case: +3") and "% (128 in / 64 out, 8 requests in flight); without a claim " in cases
    )
    assert cases.endswith("% (512 in / 64 out, 8 requests in flight).")


def test_more_launches_are_ranked_claims_first_and_the_best_of_them_on_top(tmp_path):
    def change(record):
        return scaled(record, "output_throughput_tok_s", {"slow": 0.5, "fast": 2}.get(record.identity.launch, 1))

    launches = ("eager", "same", "slow", "compiled", "fast")
    run = load_run(make_run(tmp_path, launches=launches, repeats=6, benchmarks=("serve",), change=change))
    said = answer(run)
    assert [sentence.split(" is ")[0] for sentence in said[:3]] == ["fast", "compiled", "slow"]
    assert said[3].startswith("same against eager: no difference seen in output throughput (")
    assert "only one over " in said[3] and said[3].endswith("(8 serve cases together).")


def test_with_one_or_two_repeats_it_cannot_be_said_which_launch_is_faster(tmp_path):
    for repeats in (1, 2):
        folder = tmp_path / str(repeats)
        run = load_run(make_run(folder, launches=("eager", "compiled", "third"), repeats=repeats))
        headline = answer(run)[0]
        assert headline.startswith("compiled looks 3") and "third" in headline
        assert " % faster than eager in output throughput (" in headline
        assert f"; with {repeats} repeat" in headline
        assert headline.endswith("of each it cannot be said whether that is more than chance (serve).")


def third_fails(record):
    return failed(record) if record.identity.launch == "third" else record


def test_a_run_in_which_a_launch_gave_no_number_opens_with_that_and_its_cause(tmp_path):
    run = load_run(make_run(tmp_path, launches=("eager", "compiled", "third"), repeats=6, change=third_fails))
    headline, first, *rest = answer(run)
    assert headline == ("This run cannot answer: launch 'third' gave no number: torch.OutOfMemoryError: out of memory.")
    assert "faster than eager" in first and "not to be relied on" not in first, "the other two can be compared"
    assert "No case has a number on both eager and third." in rest


def test_what_is_said_against_the_others_comes_after_the_launch_without_a_number(tmp_path):
    run = load_run(
        make_run(tmp_path, launches=("eager", "third"), change=lambda record: third_fails(disturbed(record)))
    )
    headline, doubt, seen, *_ = answer(run)
    assert "launch 'third' gave no number" in headline
    assert doubt.startswith("Of what was measured, 16 of 16 serve repeats are not VALID (repeats_disagree 16, ")
    assert seen.startswith("Seen all the same, and not to be relied on: ")


def test_a_launch_that_failed_in_part_or_was_not_tried_has_not_failed_to_answer(tmp_path):
    def change(record):
        if record.identity.launch == "third":
            return None
        return failed(record) if (record.identity.launch, record.benchmark) == ("compiled", "latency") else record

    run = load_run(make_run(tmp_path, launches=("eager", "compiled", "third"), change=change))
    assert not why_not(run)


def only_128(record):
    """Leave out the other pair of lengths."""
    return record if record.workload.get("input_len_tokens") == 128 else None


def test_launches_beyond_those_that_are_compared_are_named(tmp_path):
    launches = ("eager", *(f"l{number}" for number in range(6)))
    said = answer(load_run(make_run(tmp_path, launches=launches, repeats=3, concurrencies=(4,), benchmarks=("serve",))))
    assert "Not compared here: l5; `benchbook compare` compares any two." in said


def test_a_ceiling_below_an_open_loop_is_said_with_the_rate_that_reached_more(tmp_path):
    def change(record):
        return scaled(record, "output_throughput_tok_s", 0.2) if record.benchmark == "throughput" else record

    first = references(load_run(make_run(tmp_path, concurrencies=(), rates=(2, 8), change=change)))[0]
    assert first.startswith("Contradiction. ") and "with 8 req/s. A ceiling cannot lie below" in first


def test_a_larger_batch_that_is_suspect_takes_nothing_from_the_floor(tmp_path):
    def change(record):
        return judged(record, "suspect", "cold", "seen") if record.workload.get("batch_size") == 8 else record

    assert not any("no floor to rely on" in said for said in references(load_run(make_run(tmp_path, change=change))))


@pytest.mark.parametrize(("drain_s", "falls_behind"), [(1.1, False), (1.3, False), (2.6, True)])
def test_a_server_that_is_slower_under_a_burst_but_not_ever_slower_does_not_fall_behind(drain_s, falls_behind):
    """60 requests in 1.5 s, each answered after 1.3 s: what comes after the last arrival is one latency, or a queue."""
    answered_rps = {4.0: 60 / 15.4, 40.0: 60 / (1.5 + drain_s)}
    lost = first_unreached(answered_rps, {4.0: 60.0, 40.0: 60.0}, {4.0: 400.0, 40.0: 1300.0})
    assert lost == (40.0 if falls_behind else None)


@pytest.mark.parametrize(("benchmark", "is_said"), [("serve", True), ("throughput", False), ("latency", False)])
def test_hollow_marks_are_spoken_of_only_where_a_figure_has_them(tmp_path, benchmark, is_said):
    def change(record):
        return judged(record, "suspect", "machine_busy", "seen") if record.benchmark == benchmark else record

    (sentence,) = [one for one in caveats(load_run(make_run(tmp_path, change=change))) if "SUSPECT" in one]
    assert ("hollow" in sentence) is is_said and "they count in the means" in sentence


def test_one_suspect_repeat_is_told_as_one(tmp_path):
    def change(record):
        is_serve = record.benchmark == "serve" and record.workload["input_len_tokens"] == 128
        is_it = is_serve and record.workload["max_concurrency"] == 8 and not record.identity.repeat
        return judged(record, "suspect", "machine_busy", "seen") if is_it else record

    (sentence,) = [one for one in caveats(load_run(make_run(tmp_path, change=change))) if "SUSPECT" in one]
    assert sentence == "1 measured repeat is SUSPECT; it counts in the means, and figures show it hollow."


@pytest.mark.parametrize(
    ("answered_rps", "completed", "e2els_ms", "lost"),
    [
        ({1.0: 0.99, 32.0: 2.89}, {1.0: 1000.0, 32.0: 1000.0}, {}, 32.0),
        ({1.0: 0.99, 32.0: 2.89}, {}, {1.0: 900.0, 32.0: 5000.0}, 32.0),
        ({1.0: 0.38, 32.0: 0.38}, {1.0: 1000.0, 32.0: 1000.0}, {}, 1.0),
        ({1.0: 0.99, 4.0: 3.76}, {1.0: 1000.0, 4.0: 1000.0}, {}, None),
        ({1.0: 0.99, 32.0: 2.89}, {1.0: 1000.0}, {1.0: 900.0}, 32.0),
    ],
)
def test_figures_without_latencies_or_counts_hold_a_rate_that_was_answered(answered_rps, completed, e2els_ms, lost):
    assert first_unreached(answered_rps, completed, e2els_ms) == lost
