"""How long it takes: first guesses from the file, what earlier runs took, what this run has taken so far."""

from __future__ import annotations

import pytest
from benchbook.plan.case import Case
from benchbook.plan.eta import Estimator, Timings
from benchbook.plan.order import Block, rounds
from benchbook.plan.pace import GPU, Pace
from benchbook.plan.workloads import FirstRequestWorkload, LatencyWorkload, ServeWorkload, ThroughputWorkload
from benchbook.terms.estimate import Estimate

LENGTHS = {"input_len_tokens": 128, "output_len_tokens": 64}
CLOSED = ServeWorkload(**LENGTHS, max_concurrency=4, num_prompts=40)
TINY = {"a": Pace(), "b": Pace()}
LARGE = {"a": Pace(GPU, lambda batch, input_tokens, output_tokens: 2.0, 320 * 10**9, False, False)}


def blocks_of(*workloads, repeats=1, launches="a"):
    return rounds([Case(launch, workload) for launch in launches for workload in workloads], repeats, 0)


def seconds_of(*workloads, repeats=1, paces=TINY, earlier=None, launches="a"):
    return Estimator(paces, earlier or {}).estimate(blocks_of(*workloads, repeats=repeats, launches=launches)).seconds


def test_an_open_loop_takes_as_long_as_its_rate_takes_to_send_the_prompts():
    asked = {**LENGTHS, "num_prompts": 600, "num_warmup_prompts": 0}
    slow, fast = (seconds_of(ServeWorkload(**asked, request_rate_rps=rate)) for rate in (1, 10))
    assert 600 < slow < 660 and slow - fast == pytest.approx(599 * 0.9)
    warm_up = seconds_of(ServeWorkload(**LENGTHS, num_prompts=600, request_rate_rps=1)) - slow
    assert 31 < warm_up < 35, "its 32 prompts come at that rate too"
    capped = seconds_of(ServeWorkload(**asked, request_rate_rps=1, max_concurrency=8))
    assert capped == pytest.approx(slow)


def test_a_rate_beyond_what_can_be_answered_takes_as_long_as_answering():
    asked = {**LENGTHS, "num_prompts": 600, "max_concurrency": 1}
    assert seconds_of(ServeWorkload(**asked, request_rate_rps=1e6)) == pytest.approx(seconds_of(ServeWorkload(**asked)))


@pytest.mark.parametrize(
    ("less", "more", "of_all"),
    [
        (CLOSED, CLOSED.model_copy(update={"num_prompts": 400}), 9 / 10),
        (CLOSED.model_copy(update={"num_prompts": 400}), CLOSED.model_copy(update={"num_prompts": 400, "output_len_tokens": 640}), 0.8),
        (CLOSED.model_copy(update={"num_warmup_prompts": 0}), CLOSED.model_copy(update={"num_warmup_prompts": 400}), 0.9),
        (LatencyWorkload(**LENGTHS, batch_size=8, num_iters=30), LatencyWorkload(**LENGTHS, batch_size=8, num_iters=300), 0.8),
        (LatencyWorkload(**LENGTHS, batch_size=8), LatencyWorkload(**LENGTHS, batch_size=8, num_iters_warmup=400), 0.9),
        (LatencyWorkload(**LENGTHS, batch_size=1, num_iters=300), LatencyWorkload(**LENGTHS, batch_size=8, num_iters=300), 0.4),
        (ThroughputWorkload(**LENGTHS, num_prompts=100), ThroughputWorkload(**LENGTHS, num_prompts=10_000), 0.9),
        (ThroughputWorkload(**LENGTHS, num_prompts=300, num_warmup_prompts=0), ThroughputWorkload(**LENGTHS, num_prompts=300), 0.4),
    ],
)  # fmt: skip
def test_a_first_guess_follows_the_number_and_the_length_of_what_is_asked(less, more, of_all):
    fixed_s = seconds_of(FirstRequestWorkload(max_tokens=1)) - 2 if less.host_kind == "server" else 21
    less_s, more_s = seconds_of(less) - fixed_s, seconds_of(more) - fixed_s
    assert less_s < more_s * (1 - of_all * 0.9)


def test_a_warm_up_is_counted_once_a_start_for_each_load():
    one, two = seconds_of(CLOSED), seconds_of(CLOSED, repeats=2)
    unwarmed = CLOSED.model_copy(update={"num_warmup_prompts": 0})
    repeat_s = seconds_of(unwarmed, repeats=2) - seconds_of(unwarmed)
    assert two - one == pytest.approx(repeat_s) and one - seconds_of(unwarmed) > 0.5
    more, other = CLOSED.model_copy(update={"num_prompts": 41}), CLOSED.model_copy(update={"max_concurrency": 5})
    assert seconds_of(CLOSED, more) - one < repeat_s * 1.1, "of the same load, which is warm"
    assert seconds_of(CLOSED, other) - one > seconds_of(other, repeats=2) - seconds_of(other) + 0.5
    each_on_its_own_start = seconds_of(CLOSED, repeats=2, launches="ab") - seconds_of(CLOSED, launches="ab")
    assert each_on_its_own_start == pytest.approx(seconds_of(CLOSED, launches="ab") - 3), "all but the report"


def test_a_start_takes_longer_with_compiling_and_with_the_weights_to_read():
    eager, compiled, large = (
        seconds_of(FirstRequestWorkload(), paces={"a": Pace(is_eager=is_eager, weight_bytes=size)})
        for is_eager, size in ((True, 0), (False, 0), (False, 120 * 10**9))
    )
    assert eager + 30 < compiled and compiled + 60 <= large


def test_where_nothing_is_known_the_least_is_said_and_called_the_least():
    left = Estimator(LARGE).estimate(blocks_of(CLOSED))
    assert not left.is_known and str(left).startswith("at least") and "not known" in left.why
    assert left.seconds == pytest.approx(5.0 + (10 + 2) * 2.0 + 2.0 + 3.0), (
        "weights, batches and their warm-up, stop, report"
    )
    open_loop = ServeWorkload(**LENGTHS, num_prompts=1501, request_rate_rps=1)
    assert Estimator(LARGE).estimate(blocks_of(open_loop)).seconds > 1500


def test_what_is_known_of_a_part_counts_in_the_least():
    earlier = {"start a server": Timings([300.0], "x/1")}
    left = Estimator(LARGE, earlier).estimate(blocks_of(CLOSED))
    assert not left.is_known and left.seconds > 300


def test_what_earlier_runs_took_replaces_the_first_guess_and_is_named():
    blocks = blocks_of(CLOSED)
    earlier = {
        blocks[0].repeats[0].case.case_id: Timings([70.0, 400.0, 80.0], "x/1"),
        "start a server": Timings([100.0], "y/2"),
    }
    for paces in (TINY, LARGE):
        left = Estimator(paces, earlier).estimate(blocks)
        assert left.is_known and left.seconds == pytest.approx(100 + 80 + 2 + 3)
        assert left.why == "by run y/2 and by run x/1"
    assert "a first guess" in Estimator(TINY, {"start a server": Timings([1.0], "y/2")}).estimate(blocks).why


def test_what_earlier_runs_took_scales_the_guesses_of_cases_that_are_new_since():
    old, new = (CLOSED.model_copy(update={"max_concurrency": cap}) for cap in (4, 8))
    blocks = blocks_of(old, new)
    cases = [repeat.case for repeat in blocks[0].repeats]
    for paces in (TINY, LARGE):
        guesses = {piece.work: piece.guess_s for piece in Estimator(paces).pieces(blocks, ())}
        timed, other = (case.case_id for case in cases)
        estimator = Estimator(paces, {timed: Timings([3 * guesses[timed]], "x/1")}, cases)
        expected = {piece.work: estimator.expected(piece) for piece in estimator.pieces(blocks, ())}
        assert expected[other] == (pytest.approx(3 * guesses[other]), "by run x/1")


def test_the_time_with_a_warm_up_tells_the_time_without():
    blocks = blocks_of(CLOSED, repeats=2)
    key = blocks[0].repeats[0].case.case_id
    guess_s = [piece.guess_s for piece in Estimator(TINY).pieces(blocks, ())]
    assert guess_s[0] > guess_s[1]
    for noted, other in ((key, f"{key} warm"), (f"{key} warm", key)):
        estimator = Estimator(TINY, {noted: Timings([guess_s[" warm" in noted] * 10], "x/1")})
        pieces = estimator.pieces(blocks, ())
        assert [estimator.expected(piece)[0] for piece in pieces] == pytest.approx(
            [10 * each_s for each_s in guess_s]
        ), other


def test_what_a_repeat_took_corrects_the_others_of_its_case_and_scales_the_guesses_of_all_others():
    latency = LatencyWorkload(**LENGTHS, batch_size=8)
    blocks = blocks_of(CLOSED, CLOSED.model_copy(update={"max_concurrency": 8}), latency, repeats=2)
    estimator = Estimator(TINY)
    _, first, *_ = estimator.pieces(blocks, None)
    estimator.repeat_took(blocks[0].repeats[0], False, 3 * first.guess_s)
    for piece in estimator.pieces(blocks, None):
        factor = 1 if piece.work.startswith("start") else 3
        assert estimator.expected(piece)[0] == pytest.approx(factor * piece.guess_s)
    left = estimator.estimate(blocks)
    assert "by what this run has measured" in left.why and "a first guess" in left.why


def test_what_a_start_took_scales_the_starts_alone():
    blocks = blocks_of(CLOSED, LatencyWorkload(**LENGTHS, batch_size=8))
    estimator = Estimator(TINY)
    before_s = estimator.estimate(blocks).seconds
    estimator.start_took(blocks[0], 60.0)
    assert estimator.estimate(blocks).seconds - before_s == pytest.approx(30.0 + 15.0)


def test_one_outlier_carries_no_other_case_with_it():
    workloads = [CLOSED.model_copy(update={"max_concurrency": cap}) for cap in (1, 2, 4, 8)]
    (block,) = blocks_of(*workloads)
    estimator = Estimator(TINY)
    for repeat, factor in zip(block.repeats, (1.0, 20.0, 1.0)):
        (piece,) = estimator.pieces([Block("a", "server", (repeat,))], ())
        estimator.repeat_took(repeat, False, factor * piece.guess_s)
    (last,) = estimator.pieces([Block("a", "server", block.repeats[3:])], ())
    assert estimator.expected(last)[0] == pytest.approx(last.guess_s)


def test_a_slower_machine_than_in_the_earlier_run_is_seen_and_scales_what_that_run_told():
    (block,) = blocks_of(*(CLOSED.model_copy(update={"max_concurrency": cap}) for cap in (1, 2, 4, 8, 16)))
    estimator = Estimator(TINY, {repeat.case.case_id: Timings([10.0], "x/1") for repeat in block.repeats})
    lefts = []
    for repeat in block.repeats[:4]:
        lefts.append(estimator.estimate([Block("a", "server", block.repeats[4:])], ()).seconds - 2 - 3)
        estimator.repeat_took(repeat, False, 15.0)
    assert lefts == pytest.approx([10.0, 12.5, 15.0, 15.0]), "the first one alone moves it half the way"


def test_a_first_request_tells_nothing_of_a_load():
    (block,) = blocks_of(FirstRequestWorkload(), CLOSED)
    for paces in (TINY, LARGE):
        estimator = Estimator(paces)
        before = estimator.estimate([Block("a", "server", block.repeats[1:])], ())
        estimator.repeat_took(block.repeats[0], False, 60.0)
        assert estimator.estimate([Block("a", "server", block.repeats[1:])], ()) == before


def test_a_first_measurement_of_a_large_model_makes_the_rest_known():
    blocks = blocks_of(CLOSED, LatencyWorkload(**LENGTHS, batch_size=8))
    estimator = Estimator(LARGE)
    estimator.start_took(blocks[0], 180.0)
    assert not estimator.estimate(blocks[:1], ()).is_known
    estimator.repeat_took(blocks[0].repeats[0], False, 80.0)
    left = estimator.estimate(blocks[1:])
    assert left.is_known and left.seconds > 100


def test_no_scale_makes_an_open_loop_shorter_than_its_rate():
    open_loop = ServeWorkload(**LENGTHS, num_prompts=601, request_rate_rps=1)
    (block,) = blocks_of(CLOSED, open_loop)
    estimator = Estimator(TINY)
    for repeat in block.repeats:
        estimator.repeat_took(repeat, False, 0.01)
    assert estimator.estimate([block], ()).seconds > 600


def test_the_time_left_is_never_less_than_what_has_not_begun():
    left = Estimate(seconds=100.0, later_s=70.0)
    assert left.after(10.0).seconds == 90.0
    overdue = [left.after(spent_s).seconds for spent_s in (30.0, 31.0, 300.0)]
    assert all(seconds > 70 for seconds in overdue) and overdue[-1] == 100.0
    assert Estimate(seconds=0.4, later_s=0.0).after(5.0).seconds > 0.5, "a second, not nothing"


def test_time_that_goes_by_makes_no_least_larger():
    left = Estimate(seconds=100.0, later_s=70.0, is_known=False)
    assert left.after(20.0).seconds == 80.0 and left.after(1e6).seconds < 72


def test_with_work_left_the_time_left_is_never_nothing():
    blocks = blocks_of(CLOSED, FirstRequestWorkload(), repeats=2)
    estimator = Estimator(TINY)
    for repeat in blocks[0].repeats:
        estimator.repeat_took(repeat, False, 0.0)
        left = estimator.estimate(blocks, ())
        assert str(left.after(1e6)) != "about 0 s" and left.after(0.0).seconds > 1
