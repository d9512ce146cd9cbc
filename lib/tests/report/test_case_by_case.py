"""The chapter that shows each case by itself, and the drawing of what happened while it was measured."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchbook.judge.evidence import answers_of
from benchbook.records.files import write_json
from benchbook.records.telemetry import write_telemetry
from benchbook.report import case_by_case
from benchbook.report.case_by_case import anchors, cases_html
from benchbook.report.course import course_html
from benchbook.report.results import results_html
from benchbook.report.run import load_run
from report_runs import failed, judged, make_run

RAW = {
    "start_times": [100.0, 100.5, 101.0],
    "ttfts": [0.2, 0.3, 0.1],
    "itls": [[0.1, 0.2], [0.1, 0.1], [0.4, 0.4]],
    "latencies": [0.5, 0.5, 0.9],
}
TELEMETRY = {
    "period_s": 0.5,
    "zero_perf_counter_s": 100.0,
    "server": {
        "t_s": [0.0, 0.5, 1.0, 1.5],
        "running": [1.0, 2.0, None, 3.0],
        "waiting": [0.0, 0.0, 7.0, 0.0],
        "generation_tokens": [0.0, 50.0, 150.0, None],
        "kv_use_ratio": [0.1, 0.125, None, 0.05],
    },
    "gpus": [],
}


def with_files(run_dir):
    """Give the run's first repeat vLLM's own file and samples."""
    folder = sorted(run_dir.glob("cases/*,serve,*/repeat=0"))[0]
    write_json(folder / "raw.json", RAW)
    write_telemetry(folder / "telemetry.json.gz", TELEMETRY)
    return folder


def test_every_case_has_a_fold_with_its_repeats_and_what_is_said_of_them(tmp_path):
    run = load_run(make_run(tmp_path, benchmarks=("serve", "latency"), change=lambda one: judged(one, "suspect", "cold_start", "x")
                            if one.identity.repeat == 1 else one))  # fmt: skip
    html = cases_html(run)
    assert html.count('<details class="case"') == len(run.cases) == html.count("Repeats of ")
    assert html.count("cold_start") == len(run.cases)
    assert re.search(
        r"eager, serve, 128 in / 64 out, 8 requests in flight: .*1 VALID.*1 SUSPECT.*, [\d.,]+ ± [\d.]+ tok/s", html
    )
    assert 'data-file="cases/' in html and "executed.ipynb</code>" in html


def test_each_row_of_the_results_leads_to_its_case(tmp_path):
    run = load_run(make_run(tmp_path))
    ids = set(re.findall(r'<details class="case" id="([^"]+)"', cases_html(run)))
    assert set(re.findall(r'<a href="#(case-[^"]+)">', results_html(run))) == ids == set(anchors(run).values())


def test_of_very_many_cases_the_first_are_shown_and_no_row_leads_nowhere(tmp_path, monkeypatch):
    monkeypatch.setattr(case_by_case, "MAX_CASES", 3)
    run = load_run(make_run(tmp_path, benchmarks=("serve",)))
    assert cases_html(run).count("<details") == 3
    assert "The first 3 of 8 cases; the tables above have them all." in cases_html(run)
    assert results_html(run).count('<a href="#case-') == 3


def test_a_run_that_measured_nothing_has_no_case_to_show(tmp_path):
    assert "Nothing was measured" in cases_html(load_run(make_run(tmp_path, change=failed)))


def test_requests_and_samples_are_drawn_over_the_same_seconds(tmp_path):
    run_dir = make_run(tmp_path, benchmarks=("serve",), repeats=1)
    with_files(run_dir)
    html = cases_html(load_run(run_dir))
    (course,) = re.findall(r'<svg .*?class="course".*?</svg>', html)
    ElementTree.fromstring(course)
    (alt,) = re.findall(r'aria-label="([^"]*)"', course)
    assert (
        alt
        == "3 requests, running at most 3, waiting at most 7, output tok/s at most 200, KV cache (%) at most 12.5, over 1.90 s."
    )
    assert course.count("M") > 6 and "seconds since the first send" in course


@pytest.mark.parametrize("name", ["raw.json", "telemetry.json.gz"])
def test_a_damaged_file_is_named_in_place_of_its_course(tmp_path, name):
    run_dir = make_run(tmp_path, benchmarks=("serve",), repeats=1)
    folder = with_files(run_dir)
    (folder / name).write_bytes(b"{")
    html = cases_html(load_run(run_dir))
    assert "Its course is not drawn" in html and name in html and "<svg" not in html


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {**RAW, "start_times": [0.0, 1e300, 2.0]},
        {**RAW, "latencies": [0.0, 0.0, 0.0]},
        {**RAW, "start_times": [5.0] * 3, "ttfts": [0.0] * 3, "latencies": [1e-12] * 3},
        {**RAW, "ttfts": [-1.0, 0.0, 9.0]},
    ],
)
def test_odd_times_are_drawn_or_left_out_and_never_fail(raw):
    for telemetry in (None, TELEMETRY, {**TELEMETRY, "server": None}, {**TELEMETRY, "server": {"t_s": []}}):
        course = course_html(answers_of(raw), telemetry, raw)
        assert not course or ElementTree.fromstring(course) is not None
        assert "nan" not in course and "inf" not in course


def test_a_thousand_requests_and_samples_stay_a_small_drawing():
    starts = [number * 0.01 for number in range(1000)]
    raw = {"start_times": starts, "ttfts": [0.1] * 1000, "itls": [[0.1]] * 1000, "latencies": [0.2] * 1000}
    times = [number * 0.005 for number in range(2000)]
    server = {"t_s": times, "running": [2.0] * 2000, "waiting": [1.0] * 2000, "generation_tokens": times}
    assert 5_000 < len(course_html(answers_of(raw), {**TELEMETRY, "server": server}, raw)) < 30_000


def test_the_style_of_the_page_knows_the_drawing():
    assert ".course {" in Path(case_by_case.__file__).with_name("report.css").read_text()
