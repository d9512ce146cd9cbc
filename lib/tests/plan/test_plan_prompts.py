"""Loads as people state them: rates without limit and rising, and prompts by time, by rate and by concurrency."""

from __future__ import annotations

import pytest
from benchbook.plan.case import Case
from benchbook.plan.experiment import load_experiment, read_experiment
from benchbook.plan.pace import CPU, Pace
from benchbook.sweep.preflight import preflight_of
from benchbook.terms.errors import ExperimentError

FILE = """\
question: How many a second?
model: tiny
launches:
  first: {args: {max_model_len: 4096}}
  second: {args: {max_model_len: 4096, enforce_eager: true}}
benchmarks: [{serve: {lengths: [128, 64], %s}}]
"""


@pytest.fixture
def path_of(tmp_path):
    def written(keys: str):
        path = tmp_path / "exp.yaml"
        path.write_text(FILE % keys)
        return path

    return written


@pytest.fixture
def cases_of(path_of):
    def cases(keys: str) -> list[Case]:
        return [case for case in load_experiment(path_of(keys)).cases if case.launch == "first"]

    return cases


def test_a_time_of_an_open_loop_is_as_many_prompts_as_are_due_in_it(cases_of):
    for time, rate, number in (("60 s", "4", 240), ("90 s", "0.3", 27), ("2 min", "1.5", 180), ("0.5 h", "2", 3600)):
        (case,) = cases_of(f"request_rate_rps: {rate}, num_prompts: {time}")
        assert case.workload.num_prompts == number
        assert case.why_num_prompts == f"{time} at {rate} req/s" and case.said == {"num_prompts": time}


def test_prompts_for_each_request_a_second_follow_the_rate(cases_of):
    cases = cases_of("request_rate_rps: [0.3, 1, 16, 1 to 16], num_prompts: 5 per rps")
    assert [case.workload.num_prompts for case in cases] == [2, 5, 80, 28]
    assert cases[-1].said == {"request_rate_rps": "1 to 16", "num_prompts": "5 per rps"}


def test_a_time_of_a_closed_loop_is_planned_by_the_pace_of_the_first_launch_for_every_launch(path_of):
    path, asked = path_of("max_concurrency: [1, 8], num_prompts: 30 s"), []

    def pace_of(device, launch):
        asked.append((device, launch.name))
        return Pace(CPU, roofline_s=lambda *_: 0.2)

    experiment = read_experiment(path, pace_of)
    numbers = {launch: [case.workload.num_prompts for case in experiment.cases if case.launch == launch]
               for launch in ("first", "second")}  # fmt: skip
    assert asked == [(None, "first")]
    assert numbers["first"] == numbers["second"]
    one, eight = numbers["first"]
    assert one == pytest.approx(30 / Pace(CPU, lambda *_: 0.2).batch_s(1, 128, 64), abs=1)
    assert one < eight < 8 * one
    assert "pace planned for launch 'first'" in experiment.cases[0].why_num_prompts


def test_a_time_of_what_is_sent_all_at_once_is_what_a_full_step_answers_in_it(cases_of):
    numbers = [case.workload.num_prompts for case in cases_of("request_rate_rps: inf, num_prompts: [5 s, 20 s]")]
    assert numbers[0] == pytest.approx(numbers[1] / 4, abs=1) and numbers[0] > 1


def test_a_rate_without_limit_stands_beside_others_and_under_a_cap_says_what_it_is(cases_of):
    cases = cases_of("request_rate_rps: [1, 4, 16, inf], num_prompts: 40")
    assert [case.workload.load_text for case in cases] == ["1 req/s", "4 req/s", "16 req/s", "all at once"]
    assert cases[-1].case_id == "first,serve,lengths=128x64,num_prompts=40,request_rate_rps=inf"
    capped = cases_of("request_rate_rps: [1, inf], max_concurrency: 8, num_prompts: 40")[-1]
    assert capped.case_id == "first,serve,lengths=128x64,max_concurrency=8,num_prompts=40"
    assert capped.why_num_prompts == "as the file says; request_rate_rps inf is no more than its cap"


def test_what_is_no_number_of_prompts_is_refused_in_a_line(path_of):
    for keys, words in (
        ("max_concurrency: 8, num_prompts: 60s of load", "such as '60 s'"),
        ("max_concurrency: 8, num_prompts: 0 s", "such as '60 s'"),
        ("max_concurrency: 8, num_prompts: -5 s", "such as '60 s'"),
        ("max_concurrency: 8, num_prompts: 5 per user", "'N per rps'"),
        ("max_concurrency: 8, num_prompts: 5 per rps", "needs a request_rate_rps"),
        ("request_rate_rps: inf, num_prompts: 5 per rps", "needs a request_rate_rps"),
        ("request_rate_rps: 4, num_prompts: 5 per concurrency", "needs max_concurrency"),
        ("request_rate_rps: inf, burstiness: 0.5, num_prompts: 40", "burstiness has no effect"),
    ):
        with pytest.raises(ExperimentError) as refused:
            load_experiment(path_of(keys))
        (line,) = str(refused.value).splitlines()
        assert words in line and "exp.yaml:6" in line


def test_a_time_in_a_file_with_a_refused_model_leaves_but_that_refusal(path_of, monkeypatch):
    path = path_of("max_concurrency: 8, num_prompts: 60 s")
    path.write_text(path.read_text().replace("model: tiny", "model: {shape: none-such}"))
    with pytest.raises(ExperimentError) as refused:
        preflight_of(path)
    assert all("model" in line or "shape" in line for line in str(refused.value).splitlines())
