"""The course of a window: a step in the pace of tokens is said, noise and what a load does by itself is not."""

import random

import numpy
import pytest
from benchbook.judge.checks import itl_course, record_reasons
from benchbook.judge.course import itl_by_sixths_ms
from benchbook.judge.repeats import two_groups
from benchbook.records.record import Verdict, verdict_of
from measured import serve, with_pace


def codes(measured):
    return {found.code for found in record_reasons(measured)}


@pytest.mark.parametrize(("cap", "at", "step"), [(1, 0.5, 0.055), (4, 0.3, -0.05), (8, 0.7, 0.4)])
def test_a_step_within_a_window_is_a_note_with_the_medians_by_sixths(cap, at, step):
    steady = serve(cap=cap, prompts=20 * cap, lengths=(128, 256))
    shifted = with_pace(steady, lambda share: 1 + step if share > at else 1.0)
    (found,) = [why for why in record_reasons(shifted) if why.code == "pace_shifted"]
    assert found.severity == "note" and f"{step:+.1%}" in found.evidence and "2.00" in found.evidence
    assert "pace_shifted" not in codes(steady)
    assert verdict_of([found]) is Verdict.VALID


def test_the_medians_are_those_of_the_chunks_that_came_in_each_sixth():
    measured = serve(cap=4, prompts=80, noise=random.Random(1))
    answers = measured.answers
    begin_s = max(answer.start_s + answer.ttft_s for answer in answers[:4])
    sixth_s = (answers[-1].start_s - begin_s) / 6
    came = [
        (answer.start_s + answer.ttft_s + sum(answer.gaps_s[: at + 1]), gap)
        for answer in answers
        for at, gap in enumerate(answer.gaps_s)
    ]
    expected = [
        1000 * numpy.median([gap for when, gap in came if begin_s + n * sixth_s <= when < begin_s + (n + 1) * sixth_s])
        for n in range(6)
    ]
    assert itl_by_sixths_ms(measured) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("cap", [1, 2, 8])
def test_noise_a_drift_of_each_answer_and_an_emptying_server_are_no_step(cap):
    for seed in range(40):
        noisy = serve(cap=cap, prompts=12 * cap, noise=random.Random(seed))
        assert "pace_shifted" not in codes(noisy), seed
        assert "pace_shifted" not in codes(with_pace(noisy, lambda share: 1 + 0.1 * share)), "a drift is no step"
        assert "pace_shifted" not in codes(with_pace(noisy, lambda share: 0.5 if share > 0.95 else 1.0)), "it empties"


def test_in_an_open_loop_the_load_makes_the_pace():
    step = with_pace(serve(cap=None, rate=50.0, prompts=80), lambda share: 1.06 if share > 0.5 else 1.0)
    assert "pace_shifted" not in codes(step)
    assert itl_by_sixths_ms(step)[0] == pytest.approx(2.0) and itl_by_sixths_ms(step)[-1] == pytest.approx(2.12)


@pytest.mark.parametrize("span", [(0.55, 0.72), (0.2, 0.4), (0.4, 0.5)])
def test_a_pace_that_comes_back_is_no_step(span):
    noisy = serve(cap=2, prompts=40, noise=random.Random(3))
    assert "pace_shifted" not in codes(with_pace(noisy, lambda share: 0.85 if span[0] < share < span[1] else 1.0))


@pytest.mark.parametrize(
    "measured",
    [
        serve(raw={"itls": [], "ttfts": []}),  # no single requests
        serve(cap=40, prompts=40),  # all were sent at once: the load was full for no time
        serve(lengths=(128, 1)),  # one token has no gap
    ],
)
def test_where_the_course_cannot_be_known_it_is_null(measured):
    assert itl_by_sixths_ms(measured) is None


def test_answers_that_came_in_heaps_have_no_pace_and_so_no_step():
    heaps = with_pace(serve(prompts=80), lambda share: 1e-3 if share > 0.5 else 1.0)
    assert "pace_shifted" not in codes(heaps) and itl_by_sixths_ms(heaps)[-1] is None


def test_a_raw_file_that_cannot_be_read_so_costs_no_record():
    broken = serve(raw={"itls": [["x"] * 63] * 40})
    assert itl_course(broken) is None and "check_failed" in codes(broken)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((4.874, 4.873, 4.576, 4.565), ((2, 3), (0, 1))),  # seen on an H100, by round
        ((5.18, 4.90, 5.16, 4.91, 5.17, 4.90), ((1, 3, 5), (0, 2, 4))),
        ((10.0, 10.1, 30.0, 30.2, 10.05), ((0, 1, 4), (2, 3))),
        ((5.617, 5.620, 5.623, 5.618), None),  # seen beside them: one state
        ((100, 101, 98, 103), None),
        ((5.5, 5.24, 5.51), None),  # one of three may be an accident
        ((5.5, 5.5, 5.5, 5.24), None),
        ((10.0, 10.0, 10.2, 10.2), None),  # 2 %
        ((), None),
    ],
)
def test_two_groups_of_repeats_are_told_from_one(values, expected):
    assert two_groups(values) == expected


@pytest.mark.parametrize(("count", "most"), [(4, 0.035), (5, 0.015), (6, 0.005), (8, 0.001)])
def test_noise_alone_rarely_makes_two_groups(count, most):
    draw = random.Random(count)
    made = sum(two_groups([draw.gauss(100, 20) for _ in range(count)]) is not None for _ in range(4000))
    assert made / 4000 <= most
