"""Asked, sent, counted: each disagreement makes a record INVALID, its twin without the fault does not."""

import pytest
from benchbook.judge import accounting, guards, streams
from benchbook.judge.accounting import accounting_rows
from benchbook.judge.checks import record_reasons
from benchbook.records.record import Verdict, verdict_of
from measured import measured_of, serve

SERVE = {"input_len_tokens": 128, "output_len_tokens": 64, "num_prompts": 4, "range_ratio": 0.0}
GOOD = {
    "completed": 4,
    "failed": 0,
    "total_input_tokens": 512,
    "total_output_tokens": 256,
    "input_lens": [128] * 4,
    "output_lens": [64] * 4,
    "errors": [""] * 4,
}
THROUGHPUT = {"input_len_tokens": 128, "output_len_tokens": 64, "num_prompts": 4}


def reasons_of(benchmark, workload, raw, host=None):
    checks = (*accounting.CHECKS, *streams.CHECKS, *guards.CHECKS)
    return record_reasons(measured_of(benchmark, workload, {}, raw, host or {}), checks)


def codes(benchmark, workload, raw, host=None):
    return [reason.code for reason in reasons_of(benchmark, workload, raw, host)]


def test_a_sound_serve_result_has_no_reason():
    assert codes("serve", SERVE, GOOD) == []


def test_failed_requests_are_invalid_and_quote_their_error():
    raw = {
        **GOOD,
        "completed": 3,
        "failed": 1,
        "total_input_tokens": 384,
        "total_output_tokens": 192,
        "output_lens": [64, 64, 64, 0],
        "errors": ["", "", "", "Unauthorized"],
    }
    reasons = reasons_of("serve", SERVE, raw)
    assert [reason.code for reason in reasons] == ["requests_failed", "asked_not_counted"]
    assert "Unauthorized" in reasons[0].evidence and verdict_of(reasons) is Verdict.INVALID


def test_nothing_completed_is_said_in_so_many_words():
    raw = {
        "completed": 0,
        "failed": 4,
        "total_input_tokens": 0,
        "total_output_tokens": 0,
        "output_lens": [0] * 4,
        "errors": ["x"] * 4,
    }
    assert "nothing_completed" in codes("serve", SERVE, raw)


def test_a_cut_stream_that_vllm_counts_as_success_is_found_by_its_length():
    raw = {**GOOD, "total_output_tokens": 230, "output_lens": [64, 64, 64, 38]}
    assert codes("serve", SERVE, raw) == ["outputs_short", "asked_not_counted"]


def test_lengths_drawn_from_a_range_are_not_held_against_the_mean():
    raw = {**GOOD, "total_input_tokens": 500, "total_output_tokens": 250, "output_lens": [60, 66, 62, 62]}
    assert codes("serve", {**SERVE, "range_ratio": 0.1}, raw) == []


def test_the_input_len_trap_of_bench_throughput_is_found():
    """`--dataset-name random --input-len 128` silently measures 1024 input tokens."""
    raw = {"num_requests": 4, "printed": {"total_input_tokens": 4096, "total_output_tokens": 256}}
    assert codes("throughput", THROUGHPUT, raw) == ["asked_not_counted"]


def test_a_throughput_result_as_asked_has_no_reason():
    assert (
        codes(
            "throughput",
            THROUGHPUT,
            {"num_requests": 4, "printed": {"total_input_tokens": 512, "total_output_tokens": 256}},
        )
        == []
    )


def test_counts_that_were_never_printed_are_not_taken_for_agreement():
    assert codes("throughput", THROUGHPUT, {"num_requests": 4}) == ["asked_not_counted"]


@pytest.mark.parametrize(("iterations", "expected"), [(30, []), (29, ["asked_not_counted"])])
def test_latency_iterations_are_counted(iterations, expected):
    assert codes("latency", {"num_iters": 30}, {"latencies": [0.1] * iterations}) == expected


@pytest.mark.parametrize(("text", "expected"), [("w1 w2", []), ("", ["asked_not_counted"])])
def test_a_first_request_must_have_an_answer(text, expected):
    assert codes("first_request", {}, {"text": text}) == expected


def test_random_weights_are_noted_without_lowering_the_verdict():
    reasons = reasons_of("serve", SERVE, GOOD, {"random_weights": True, "model": "tiny"})
    assert [(reason.code, reason.severity) for reason in reasons] == [("random_weights", "note")]
    assert verdict_of(reasons) is Verdict.VALID


def test_accounting_rows_show_both_figures():
    assert accounting_rows(measured_of("serve", SERVE, {}), GOOD)[2] == {
        "what": "input tokens",
        "asked": 512,
        "counted": 512,
        "agrees": True,
    }


def test_answers_that_arrive_in_one_heap_are_suspect():
    """Seen on a machine whose two cores were shared: TTFT equal to the whole latency, TPOT 0.003 ms, 64 chunks an answer."""
    raw = {**GOOD, "itls": [[0.00002] * 63] * 3 + [[0.003] * 63]}
    reasons = reasons_of("serve", SERVE, raw)
    assert [reason.code for reason in reasons] == ["stream_bunched"] and verdict_of(reasons) is Verdict.SUSPECT
    assert "3 of 4" in reasons[0].evidence


def test_a_few_gaps_close_together_are_no_heap():
    raw = {**GOOD, "itls": [[0.003] * 40 + [0.00002] * 23] * 4}
    assert codes("serve", SERVE, raw) == []


def test_answers_of_one_chunk_have_no_gaps_to_judge_but_came_in_one_heap_where_they_hold_several_tokens():
    assert "stream_bunched" not in codes("serve", SERVE, {**GOOD, "itls": [[]] * 4, "output_lens": [1] * 4})
    assert codes("serve", SERVE, {**GOOD, "itls": [[]] * 4}) == ["stream_bunched"]


@pytest.mark.parametrize(
    "host",
    [
        {"argv": ["vllm", "serve", "m", "--trust-remote-code"]},
        {"env": {"VLLM_SERVER_DEV_MODE": "1"}},
        {"env": {"VLLM_ALLOW_INSECURE_SERIALIZATION": "1"}},
    ],
)
def test_a_guard_that_was_taken_down_is_said(host):
    assert codes("serve", SERVE, GOOD, host) == ["guards_down"]


def test_guards_that_are_up_are_not_talked_about():
    assert codes("serve", SERVE, GOOD, {"argv": ["vllm"], "env": {"VLLM_SERVER_DEV_MODE": "0"}}) == []


@pytest.mark.parametrize(
    "error",
    [
        'Traceback (most recent call last):\n  File "x.py", line 3, in f\nConnectionResetError: reset by peer\n',
        "Traceback:\n  deep\n\nThe above exception was the direct cause\n\nConnectionResetError: reset by peer",
        "ConnectionResetError: reset by peer",
    ],
)
def test_of_a_request_that_failed_the_line_that_says_why_is_told(error):
    failed = serve(raw={"failed": 2, "errors": [error, error] + [""] * 38})
    assert accounting.requests_failed(failed).evidence == "2 of 40 requests failed: ConnectionResetError: reset by peer"
