"""What a workload asks, said by itself and by what reads records of before it did: the two are the same."""

import pytest
from benchbook.measure.recording import Recording
from benchbook.plan.workloads import FirstRequestWorkload, LatencyWorkload, ServeWorkload, ThroughputWorkload
from benchbook.records.described import described
from benchbook.records.record import Failure, Outcome
from benchbook.records.record_file import read_record
from benchbook.terms.asked import Asked, Offered

WORKLOADS = [
    ServeWorkload(input_len_tokens=4096, output_len_tokens=1024, max_concurrency=8, num_prompts=80),
    ServeWorkload(input_len_tokens=128, output_len_tokens=1, request_rate_rps=2.5, num_prompts=7),
    ServeWorkload(
        input_len_tokens=100,
        output_len_tokens=50,
        request_rate_rps=3,
        max_concurrency=4,
        num_prompts=9,
        range_ratio=0.5,
    ),
    LatencyWorkload(input_len_tokens=512, output_len_tokens=32, batch_size=8),
    ThroughputWorkload(input_len_tokens=512, output_len_tokens=32, num_prompts=200),
    FirstRequestWorkload(max_tokens=12),
]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.axes_text())
def test_a_workload_says_what_is_read_out_of_the_fields_of_an_older_record(workload):
    told = described(workload.benchmark, workload.model_dump())
    assert told == (workload.asked, workload.curve, workload.load)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.axes_text())
def test_a_record_holds_what_its_workload_says_and_gives_it_back_as_it_was(workload, tmp_path):
    with Recording(workload, tmp_path / "record.json") as recording:
        recording.fail(Outcome.HOST_FAILED, Failure(code="out_of_memory", evidence="", hint=""))
    record = read_record(tmp_path / "record.json")
    assert (record.asked, record.curve, record.load) == (workload.asked, workload.curve, workload.load)
    for was, found in ((workload.asked, record.asked), (workload.load, record.load)):
        assert repr(was) == repr(found), "whole numbers stay whole, and others do not become so"


def test_fixed_lengths_are_counted_to_the_token_and_drawn_ones_on_average():
    fixed, _, drawn, *_ = (workload.asked for workload in WORKLOADS)
    assert (fixed.requests, fixed.input_tokens, fixed.output_tokens) == (80, 327_680, 81_920)
    assert (drawn.input_tokens, drawn.output_tokens) == (None, None)
    assert (drawn.input_tokens_each, drawn.output_tokens_each, drawn.varies_by) == (100, 50, 0.5)


def test_a_load_is_what_its_curve_runs_along_and_a_cap_makes_no_loop_closed():
    assert [workload.load for workload in WORKLOADS] == [
        Offered(by="max_concurrency", value=8),
        Offered(by="request_rate_rps", value=2.5),
        Offered(by="request_rate_rps", value=3, at_most=4),
        Offered(by="batch_size", value=8),
        Offered(by="num_prompts", value=200),
        None,
    ]


@pytest.mark.parametrize("missing", [("num_prompts",), ("input_len_tokens",), ("num_prompts", "output_len_tokens")])
def test_what_a_published_figure_does_not_tell_is_not_known(missing):
    whole = WORKLOADS[0].model_dump()
    told = described("serve", {key: value for key, value in whole.items() if key not in missing})
    assert told.asked.input_tokens is None and told.asked.output_tokens is None
    assert (told.asked.requests is None) == ("num_prompts" in missing)
    assert (told.asked.tokens_each is None) == (missing != ("num_prompts",)) == (told.curve == "")
    assert told.load == WORKLOADS[0].load


def test_what_nothing_tells_is_nothing():
    assert Asked().tokens_each is None and not Asked().is_drawn
