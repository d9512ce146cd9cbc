"""A rate as a share of what a server answers at most: which case tells that, and what is refused."""

from __future__ import annotations

import pytest
from benchbook.plan.experiment import load_experiment
from benchbook.plan.workloads import ServeWorkload
from benchbook.terms.errors import ExperimentError
from benchbook.terms.rates import rate_of

FILE = """\
question: How does it answer below its most?
model: tiny
launches: {a: {args: {max_model_len: 4096}}, b: {args: {max_model_len: 4096, enforce_eager: true}}}
requests: {words: {lengths: [64, 16], text: "corpus:words"}, chats: {dataset: sharegpt, path: "corpus:chats"}}
benchmarks:
  - serve: {requests: [words, chats], max_concurrency: 4, num_prompts: 40}
"""


def cases_of(tmp_path, *entries):
    path = tmp_path / "exp.yaml"
    path.write_text(FILE + "".join(f"  - serve: {{{entry}}}\n" for entry in entries))
    return load_experiment(path).cases


def test_a_share_is_said_as_people_do_and_held_in_one_way():
    for said, held in (
        ("0.8 of throughput", "0.8 of throughput"),
        ("80 % of throughput", "0.8 of throughput"),
        ("80% of the throughput", "0.8 of throughput"),
        (" 0.80  of  maximum", "0.8 of throughput"),
        ("1.2 of throughput", "1.2 of throughput"),
        ("12.5 % of throughput", "0.125 of throughput"),
    ):
        assert rate_of(said) == held == rate_of(held)
    for said in ("0 of throughput", "80 of throughput", "0.8 of", "of throughput", "-0.5 of throughput", "0.8 of tput"):
        with pytest.raises(ValueError):
            rate_of(said)


def test_a_share_is_the_rate_of_an_open_loop_once_its_maximum_is_known():
    work = ServeWorkload(input_len_tokens=8, output_len_tokens=4, num_prompts=40, request_rate_rps="80 % of throughput")
    assert work.load is None and work.load_text == "0.8 of throughput"
    known = work.at_maximum(12.3456)
    assert (known.load.rate_rps, known.load.of) == (9.876, "0.8 of throughput")
    assert known.warmup().load.rate_rps == 9.876
    assert known.model_dump() == work.model_dump() and known.axes_text() == work.axes_text()
    assert "request_rate_rps=0.8-of-throughput" in work.axes_text()
    assert ServeWorkload(**known.model_dump()).request_rate_rps == "0.8 of throughput"


def test_what_a_share_is_of_is_the_same_load_all_at_once_and_stands_before_it(tmp_path):
    cases = cases_of(tmp_path, "lengths: [128, 64], request_rate_rps: [0.5 of throughput, 90 % of throughput], "
                               "num_prompts: 60, slo_ttft_ms: 500, burstiness: 0.5")  # fmt: skip
    first, second = (case for case in cases if case.is_maximum)
    assert first.case_id == "a,serve,lengths=128x64,num_prompts=256,request_rate_rps=inf"
    assert second.launch == "b" and cases.index(second) == 1
    shares = [case for case in cases if case.maximum]
    assert len(shares) == 4 and {case.maximum for case in shares} == {first.case_id}  # one rate for both launches
    assert "what 0.5 and 0.9 of throughput are of" in first.why_num_prompts
    assert all(case.said["request_rate_rps"] for case in shares)


def test_a_cap_limits_the_maximum_too_and_a_data_set_need_not_have_more_than_is_asked(tmp_path):
    cases = cases_of(
        tmp_path,
        "requests: words, request_rate_rps: 0.5 of throughput, max_concurrency: 8, num_prompts: 40",
        "requests: chats, request_rate_rps: 0.5 of throughput, num_prompts: 30",
    )
    words, chats = (case.workload for case in cases if case.is_maximum and case.launch == "a")
    assert (words.request_rate_rps, words.max_concurrency, words.num_prompts) == (None, 8, 80)
    assert (chats.request_rate_rps, chats.num_prompts) == ("inf", 30)


def test_a_case_of_the_file_that_tells_the_maximum_is_not_measured_twice(tmp_path):
    cases = cases_of(tmp_path, "lengths: [8, 4], request_rate_rps: [inf, 0.5 of throughput], num_prompts: 300")
    at_once = [case for case in cases if case.workload.request_rate_rps == "inf"]
    assert [case.launch for case in at_once] == ["a", "b"] and all(case.is_maximum for case in at_once)
    assert at_once[0].why_num_prompts == "as the file says"


def test_the_launch_that_goes_first_tells_the_maximum_whatever_the_entry_names_first(tmp_path):
    path = tmp_path / "exp.yaml"
    own = "launches: [b], lengths: [8, 4], max_concurrency: 1, num_prompts: 8"
    share = "launches: [a, b], lengths: [8, 4], request_rate_rps: 0.5 of throughput, num_prompts: 300"
    text = FILE.replace(FILE[FILE.index("requests:") : FILE.index("benchmarks")], "")
    text = text[: text.index("  - serve")] + f"  - serve: {{{own}}}\n  - serve: {{{share}}}\n"
    path.write_text(text)
    experiment = load_experiment(path)
    first_block = experiment.planned_rounds()[0]
    (maximum,) = {case.maximum for case in experiment.cases if case.maximum}
    assert first_block.repeats[0].case.case_id == maximum


def test_a_maximum_is_the_first_load_of_every_round(tmp_path):
    path = tmp_path / "exp.yaml"
    share = "lengths: [8, 4], request_rate_rps: [0.5 of throughput, 0.7 of throughput], num_prompts: 300"
    path.write_text(f"{FILE}  - first_request: {{}}\n  - serve: {{{share}}}\n")
    for block in load_experiment(path).planned_rounds():
        kinds = [(repeat.case.workload.row.is_load, repeat.case.is_maximum) for repeat in block.repeats]
        assert kinds[:2] == [(False, False), (True, True)] and not any(is_maximum for _, is_maximum in kinds[2:])


def test_a_time_of_a_share_goes_by_the_pace_that_is_planned(tmp_path):
    cases = cases_of(
        tmp_path, "lengths: [8, 4], request_rate_rps: [0.4 of throughput, 0.8 of throughput], num_prompts: 2 s"
    )
    half, whole = (case for case in cases if case.maximum and case.launch == "a")
    assert whole.workload.num_prompts == pytest.approx(2 * half.workload.num_prompts, abs=2)
    assert "by the pace planned for launch 'a'" in half.why_num_prompts


def test_lengths_that_only_drawing_tells_are_said_to_be_guessed(tmp_path):
    guessed = cases_of(tmp_path, "requests: chats, max_concurrency: 2, num_prompts: 5 s")
    known = cases_of(tmp_path, "requests: words, max_concurrency: 2, num_prompts: 5 s")
    words = "guessed to have 256 tokens in and 256 out"
    assert [words in case.why_num_prompts for case in (guessed[-1], known[-1])] == [True, False]


def test_what_cannot_be_a_share_is_refused_in_a_line(tmp_path):
    for entry, words in (
        ("lengths: [8, 4], request_rate_rps: 80 of throughput, num_prompts: 4", "from 0.01 to 10: 0.8, or 80 %"),
        ("lengths: [8, 4], request_rate_rps: 0 of throughput, num_prompts: 4", "from 0.01 to 10"),
        ("lengths: [8, 4], request_rate_rps: 0.8 of it, num_prompts: 4", "a share such as 0.8 of throughput"),
        ("lengths: [8, 4], request_rate_rps: 0.8 of throughput, num_prompts: 5 per rps", "that is a number or a ramp"),
    ):
        with pytest.raises(ExperimentError) as refused:
            cases_of(tmp_path, entry)
        (line,) = str(refused.value).splitlines()
        assert words in line and "exp.yaml:7" in line
