"""What nobody could look at is listed: with any piece of evidence gone, a fault is found by another or its check is named."""

from dataclasses import replace

import pytest
from benchbook.judge.catalogue import CODES
from benchbook.judge.checks import record_reasons
from benchbook.judge.evidence import Measured
from benchbook.judge.unseen import LOOKS, RECORDS, by_reason, not_looked
from benchbook.records.conditions import Conditions, Precision
from benchbook.records.host import HostFacts
from measured import latency, measured_of, serve, throughput
from parts import having
from test_checks import PAIRS

GPU = {"index": 0, "name": "H200", "samples": 40, "highest_sm_clock_mhz": 1980, "free_sm_clock_mhz": 1980}
OURS = {"kind": "ours", "gpu": 0, "pid": 7, "name": "x"}
STRANGER = {"kind": "foreign", "gpu": 0, "pid": 8, "name": "y"}


def on_gpu(throttled, *strangers, **more):
    summary = {
        "gpus": [{**GPU, "throttled_share": throttled, **more}],
        "gpu_processes": [OURS, *strangers],
        "absent": {},
    }
    return serve(host={"telemetry": summary})


FAULTS = {code: faulty for code, (faulty, _) in PAIRS.items()} | {
    "gpu_throttled": on_gpu({"thermal_software": 0.5}),
    "gpu_power_capped": on_gpu({"power_cap": 0.5}),
    "gpu_shared": on_gpu({}, STRANGER),
    "clocks_low": on_gpu({}, free_sm_clock_mhz=1000),
}
# These say themselves that a look was not possible.
OF_LOOKING = {"check_failed", "watching_failed"}
COUNTED = {
    "server_disagrees", "finish_not_length", "preempted", "cache_warm", "server_restarted", "several_engines",
    "foreign_traffic",
}  # fmt: skip
DETAILED = {
    "stream_bunched", "itl_per_chunk", "empty_first_chunk", "opening_chunk", "closing_chunk", "latency_sum_broken", "littles_law", "pace_shifted",
    "server_stalled", "speed_shifted", "concurrency_not_reached", "drain_dominates", "start_burst", "first_requests_slow",
}  # fmt: skip
OF_GPUS = {"gpu_throttled", "gpu_shared", "gpu_power_capped", "clocks_low"}


def without(measured: Measured, *keys: str, **unseen: str) -> Measured:
    """Return `measured` without keys of its raw file, host or conditions, and with what was noted as not seen."""
    raw = {key: value for key, value in measured.raw.items() if key not in keys}
    host, conditions = (
        type(part)(**{key: value for key, value in part.model_dump(exclude_unset=True).items() if key not in keys})
        for part in (measured.host, measured.conditions)
    )
    return replace(measured, raw=raw, host=host, conditions=having(conditions, unseen=unseen) if unseen else conditions)


def only_asked(measured: Measured):
    """Return the conditions of a measurement that nobody watched: the precision that was asked for, where one was."""
    return Conditions(precision=Precision(asked=measured.conditions.precision.asked))


def only_placed(measured: Measured):
    """Return a host of which nobody knows more than where it was to run, one of several, and how it was to start."""
    place, taken_over = measured.host.place, measured.host.facts.taken_over
    known = {"place": having(place, neighbours={})} if place else {}
    return HostFacts(**known, facts={"taken_over": taken_over} if taken_over else {})


LOST = {
    "no telemetry": lambda measured: without(measured, "telemetry"),
    "no sight of the GPU": lambda measured: without(measured, "telemetry", gpu="a slice of a GPU"),
    "no log": lambda measured: without(measured, "compile_lines", "kv_usage_max_pct", log="not ours"),
    "a silent log": lambda measured: replace(
        measured, conditions=having(measured.conditions, compile_lines=[], unseen={"log": "silent"})
    ),
    "no counters": lambda measured: without(
        measured, "counters", "counters_went_back", "engine_tokens", "earlier_requests", counters="404"
    ),
    "no raw requests": lambda measured: without(measured, "start_times", "ttfts", "itls", "latencies", "queue_times"),
    "no chunks": lambda measured: without(measured, "itls"),
    "no lengths": lambda measured: without(measured, "input_lens", "output_lens"),
    "no queue times": lambda measured: without(measured, "queue_times"),
    "no latencies": lambda measured: without(measured, "latencies"),
    "no client notes": lambda measured: without(measured, "client"),
    "no sight of the processors": lambda measured: without(measured, "machine", machine="elsewhere"),
    "no limits": lambda measured: without(measured, "limits"),
    "no note of the warm-up": lambda measured: without(measured, "warmup_prompts"),
    "no command": lambda measured: without(measured, "argv", "env"),
    "no model files": lambda measured: without(measured, "model_config", "random_weights"),
    "nothing but the result": lambda measured: replace(
        measured, host=only_placed(measured), conditions=only_asked(measured)
    ),
}


@pytest.mark.parametrize("code", [code for code in FAULTS if code not in OF_LOOKING])
def test_a_fault_whose_evidence_is_gone_is_found_by_another_or_its_check_is_listed(code):
    assert code in {why.code for why in record_reasons(FAULTS[code])}
    for lost, lose in LOST.items():
        less = lose(FAULTS[code])
        assert code in {why.code for why in record_reasons(less)} | set(not_looked(less)), lost


def test_every_code_says_what_its_check_lives_from():
    assert set(LOOKS) == {code.code for code in CODES}
    assert {code for code, look in LOOKS.items() if look is not RECORDS} <= set(FAULTS) | {
        "degenerate_model",  # of a launch, by what its host answered
        "notebook_raised",  # of the notebook
        "read_as",  # of who read a file
    }


@pytest.mark.parametrize(
    "measured",
    [serve(), serve(cap=None, rate=50.0), serve(workload={"range_ratio": 0.5}), latency(), on_gpu({}), serve(cap=1)],
)
def test_a_measurement_that_all_checks_could_look_at_leaves_nothing_unsaid(measured):
    assert not_looked(measured) == {}


@pytest.mark.parametrize(
    ("lost", "codes"),
    [
        ("no counters", COUNTED),
        ("no log", {"compiled_while_measuring"}),  # the load fits into the KV cache by the start's facts
        ("a silent log", {"compiled_while_measuring"}),
        ("no client notes", {"client_saturated"}),
        ("no sight of the processors", {"machine_busy"}),
        ("no sight of the GPU", OF_GPUS),
        ("no telemetry", OF_GPUS),
        ("no limits", {"limits_low"}),
        ("no note of the warm-up", {"warmup_too_small"}),
        ("no command", {"guards_down", "max_num_seqs_low", "speculation_unlike_text"}),
        ("no model files", {"random_weights"}),
        ("no raw requests", DETAILED),
        ("no latencies", {"latency_sum_broken"}),  # vLLM 0.26: they are made of the gaps
    ],
)
def test_evidence_that_is_not_there_is_said_of_the_checks_that_need_it_and_of_no_other(lost, codes):
    less = LOST[lost](serve())
    found = not_looked(less)
    assert set(found) == codes and all(found.values())
    assert set().union(*by_reason(found).values()) == codes
    if noted := less.conditions.unseen:
        assert set(found.values()) == set(noted.values())


def test_a_verdict_on_nothing_but_a_result_says_that_hardly_anybody_looked():
    bare = LOST["nothing but the result"](serve())
    assert COUNTED | OF_GPUS | {"machine_busy", "client_saturated", "kv_exhausted", "degenerate_model"} <= set(
        not_looked(bare)
    )


def test_a_kv_cache_is_looked_at_by_the_log_or_by_the_start_and_the_load():
    no_gauge = serve(host={"telemetry": {"gpus": []}})
    assert "kv_exhausted" not in not_looked(no_gauge)
    assert "kv_exhausted" not in not_looked(without(serve(), "facts"))
    assert "kv_exhausted" in not_looked(without(no_gauge, "facts"))
    told = replace(no_gauge, conditions=having(no_gauge.conditions, kv_usage_max_pct=3.0))
    assert "kv_exhausted" not in not_looked(without(told, "facts"))
    open_loop = serve(cap=None, rate=50.0, host={"telemetry": {"gpus": []}})
    assert "kv_exhausted" in not_looked(open_loop), "how many are in flight without a cap is not known before"


def test_a_server_that_counts_little_says_which_checks_that_concerns():
    little = without(serve(), "counters")
    counting = replace(little, host=having(little.host, counters={"prompt_tokens": 5.0}))
    assert set(not_looked(counting)) == {"finish_not_length", "preempted", "cache_warm", "server_disagrees"}


@pytest.mark.parametrize("absent", ["requests_ended", "prompt_tokens", "generation_tokens"])
def test_a_count_that_the_server_does_not_tell_is_not_compared_and_that_is_said(absent):
    measured = serve()
    counters = {name: count for name, count in measured.host.counters.items() if absent not in name}
    assert counters != measured.host.counters and "server_disagrees" not in not_looked(measured)
    said = not_looked(replace(measured, host=having(measured.host, counters=counters)))["server_disagrees"]
    assert said == f"the server does not count {absent}"


@pytest.mark.parametrize(
    ("measured", "codes"),
    [
        (latency(), set()),
        (without(latency(), "facts"), {"kv_exhausted", "preempted", "steps_padded"}),
        (throughput(), set()),
        (throughput(num_prompts=2000), {"preempted"}),  # more than the cache holds
        (LOST["no sight of the processors"](throughput()), {"machine_busy"}),
        (LOST["no log"](throughput()), {"compiled_while_measuring"}),
        (LOST["a silent log"](latency()), {"compiled_while_measuring"}),
        (LOST["no sight of the GPU"](latency()), OF_GPUS),
        (LOST["no raw requests"](latency()), {"first_requests_slow", "iterations_unsteady"}),
        (replace(throughput(), host=having(throughput().host, model_config={"num_experts": 8}, greedy_outputs=())),
         {"degenerate_model"}),
    ],
)  # fmt: skip
def test_an_offline_benchmark_names_what_an_engine_in_a_process_does_not_tell(measured, codes):
    assert set(not_looked(measured)) == codes


@pytest.mark.parametrize(("usage", "codes"), [({"completion_tokens": 8}, set()), ({}, {"asked_not_counted"})])
def test_a_first_request_is_one_answer_and_no_load(usage, codes):
    raw = {"text": "a", "usage": usage, "itls": [[0.1]]}
    one = measured_of("first_request", {"max_tokens": 8}, {"ttft_ms": 1.0}, raw, serve().host)
    assert set(not_looked(one)) == codes


@pytest.mark.parametrize(
    ("summary", "codes"),
    [
        ({"gpus": [GPU], "gpu_processes": [OURS]}, set()),
        ({"gpus": [GPU], "gpu_processes": []}, {"gpu_shared"}),  # in many a container the driver shows nobody
        ({"gpus": [{**GPU, "samples": 0}], "gpu_processes": [OURS]}, OF_GPUS),  # shorter than a period of samples
        ({"gpus": [], "gpu_processes": []}, set()),  # there is none
        ({"gpus": [{**GPU, "highest_sm_clock_mhz": None}], "gpu_processes": [OURS]}, {"clocks_low"}),
    ],
)
def test_samples_that_tell_nothing_of_a_gpu_are_no_look_at_it(summary, codes):
    summary = {**summary, "gpus": [{"index": 0, "name": None, **gpu} for gpu in summary["gpus"]]}
    assert set(not_looked(serve(host={"telemetry": summary}))) == codes
