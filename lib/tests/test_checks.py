"""Every code of one measurement: a fault that provokes it, and the twin without the fault, which does not have it."""

import random

import pytest
from benchbook.judge.catalogue import BY_CODE, CODES
from benchbook.judge.checks import record_reasons
from benchbook.judge.sample import is_earned, percentile_ranks, samples_needed
from benchbook.judge.warmth import COMPILE_LINE
from benchbook.records.record import Verdict, verdict_of
from measured import latency, serve, throughput, with_pace

SOUND = serve()
RANGED = {"range_ratio": 0.5}
AT_ITS_CEILING = {"chunks_per_s": 7300.0, "ceiling_chunks_per_s": 9000.0}

# code: (a measurement with the fault, its twin without)
PAIRS = {
    "requests_failed": (serve(raw={"failed": 1, "errors": ["boom"] + [""] * 39}), SOUND),
    "nothing_completed": (serve(raw={"completed": 0, "failed": 40, "errors": ["x"] * 40}), SOUND),
    "value_no_number": (serve(raw={"total_output_tokens": float("nan")}), SOUND),
    "outputs_short": (serve(raw={"output_lens": [64] * 39 + [38]}), SOUND),
    "asked_not_counted": (serve(raw={"total_input_tokens": 40 * 1024}), SOUND),
    "finish_not_length": (
        serve(host={"counters": {"vllm:request_success_total{finished_reason=stop}": 3.0}}),
        serve(host={"counters": {"vllm:request_success_total{finished_reason=length}": 40.0}}),
    ),
    "server_disagrees": (
        serve(host={"counters": {"vllm:generation_tokens_total": 40 * 64 * 1.5}}),
        serve(host={"counters": {"vllm:generation_tokens_total": 40 * 64 * 1.005}}),  # a token counted a moment late
    ),
    "lengths_shifted": (
        serve(workload=RANGED, raw={"input_lens": [90] * 40}),  # 0.7 times what was asked
        serve(workload=RANGED, raw={"input_lens": [90, 166] * 20}),
    ),
    "stream_bunched": (serve(raw={"itls": [[0.00002] * 63] * 40, "latencies": [0.02 + 63 * 0.00002] * 40}), SOUND),
    "itl_per_chunk": (serve(raw={"itls": [[0.126 / 31] * 31] * 40}), SOUND),
    # One that comes at once, without text; TTFT and the gap after it are those of the first token together.
    "empty_first_chunk": (serve(raw={"itls": [[0.3] + [0.002] * 63] * 40}), SOUND),
    "latency_sum_broken": (serve(raw={"latencies": [0.2] * 40}), SOUND),
    "littles_law": (serve(raw={"duration": 0.5}), SOUND),
    "concurrency_not_reached": (serve(cap=8, prompts=5), serve(cap=8, prompts=80)),
    "rate_not_reached": (serve(cap=2, rate=200.0, prompts=100), serve(cap=None, rate=200.0, prompts=100)),
    "client_queue_dominates": (serve(cap=2, rate=200.0, prompts=100), serve(cap=64, rate=200.0, prompts=100)),
    "too_short": (serve(prompts=12), serve(prompts=20)),  # three and five waves
    "drain_dominates": (serve(prompts=40, last_factor=8), serve(prompts=40, last_factor=1.5)),
    "start_burst": (serve(first_ttft_ms=60), serve(first_ttft_ms=30)),
    "pace_shifted": (
        with_pace(serve(prompts=80), lambda share: 1.05 if share > 0.5 else 1.0),
        with_pace(serve(prompts=80), lambda share: 1.02 if share > 0.5 else 1.0),
    ),
    "cache_warm": (
        serve(host={"counters": {"vllm:prefix_cache_hits_total": 0.64 * 40 * 128}}),
        serve(host={"counters": {"vllm:prefix_cache_hits_total": 0.005 * 40 * 128}}),
    ),
    "warmup_too_small": (serve(conditions={"warmup_prompts": 1}), serve(conditions={"warmup_prompts": 4})),
    "compiled_while_measuring": (
        serve(conditions={"compile_lines": ["WARNING Triton kernel JIT compilation during inference: _fwd."]}),
        SOUND,
    ),
    # FACTS of a first run on a large GPU: 10 s for the first eight requests, 0.4 s later on.
    "first_requests_slow": (serve(first_ttft_ms=10_000, ttft_ms=400), serve(first_ttft_ms=1500, ttft_ms=400)),
    "percentile_not_earned": (serve(cap=8, prompts=661), serve(cap=8, prompts=662)),
    "preempted": (serve(host={"counters": {"vllm:num_preemptions_total": 1.0}}), SOUND),
    "kv_exhausted": (serve(host={"facts": {"kv_cache_tokens": 700}}), serve(host={"facts": {"kv_cache_tokens": 800}})),
    "client_saturated": (
        serve(conditions={"client": {"cpu_cores": 0.95}}),
        # 64 in flight on an H200: more than half of what it reads one after another, with a core to spare.
        serve(conditions={"client": {"cpu_cores": 0.36, "loop_lag_median_ms": 0.7, **AT_ITS_CEILING}}),
    ),
    "machine_busy": (
        serve(conditions={"machine": {"cpus": 2, "own_cpu_share": 0.5, "other_cpu_share": 0.4}}),
        serve(conditions={"machine": {"cpus": 2, "own_cpu_share": 0.9, "other_cpu_share": 0.1}}),
    ),
    "limits_low": (serve(cap=960, prompts=1920), serve(cap=500, prompts=1000)),
    "server_restarted": (serve(conditions={"counters_went_back": ["vllm:prompt_tokens_total"]}), SOUND),
    "several_engines": (
        serve(conditions={"engine_tokens": {"0": 2560.0, "1": 0.0}}),
        serve(conditions={"engine_tokens": {"0": 2560.0}}),
    ),
    "watching_failed": (serve(conditions={"watching_errors": ["telemetry: OSError: gone"]}), SOUND),
    # A raw file that a check cannot read, as one vLLM wrote without `latencies` once was.
    "check_failed": (serve(raw={"output_lens": [None] * 40}), SOUND),
    "guards_down": (serve(host={"argv": ["vllm", "serve", "m", "--trust-remote-code"]}), SOUND),
    "random_weights": (serve(host={"random_weights": True}), SOUND),
}
# Of groups: test_group_checks.py, test_coherence.py; of notebooks: test_checks_in_sweeps.py; of GPUs: test_hosts_telemetry.py
ELSEWHERE = {
    "gpu_throttled",
    "gpu_shared",
    "gpu_power_capped",
    "repeats_disagree",
    "repeats_trend",
    "repeat_outlier",
    "repeats_in_groups",
    "host_restarted",
    "host_differs",
    "kv_capacity_differs",
    "floor_above_load",
    "ceiling_below_serving",
    "tpot_contradicts_latency",
    "outputs_differ",
    "degenerate_model",
    "notebook_raised",
}


def codes(measured):
    return [reason.code for reason in record_reasons(measured)]


@pytest.mark.parametrize("code", PAIRS)
def test_a_fault_is_found_and_its_twin_without_it_is_not_accused(code):
    faulty, twin = PAIRS[code]
    assert code in codes(faulty)
    assert code not in codes(twin)


def test_every_code_of_one_measurement_has_its_pair():
    assert set(PAIRS) | ELSEWHERE >= {code.code for code in CODES}
    assert not set(PAIRS) & ELSEWHERE


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.code)
def test_every_code_says_what_it_means_from_where_on_and_what_to_do(code):
    assert code.meaning and code.threshold and code.remedy


@pytest.mark.parametrize("cap", [1, 2, 4, 8])
def test_an_honest_short_run_is_valid(cap):
    """Ten prompts for each request in flight: nothing but notes."""
    measured = serve(cap=cap, prompts=10 * cap)
    assert codes(measured) == ["percentile_not_earned"]
    assert verdict_of(record_reasons(measured)) is Verdict.VALID


@pytest.mark.parametrize("cap", [1, 2, 4, 8])
def test_noise_of_a_small_busy_machine_makes_nothing_suspect(cap):
    for seed in range(50):
        reasons = record_reasons(serve(cap=cap, prompts=10 * cap, noise=random.Random(seed)))
        assert verdict_of(reasons) is Verdict.VALID, (seed, reasons)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cpu_cores": 0.95}, "0.95 of one core"),
        (AT_ITS_CEILING, "7,300 chunks a second, its ceiling is 9,000"),  # its processor time is not known
        ({"cpu_cores": 0.91, **AT_ITS_CEILING}, "0.91 of one core"),
        ({"loop_lag_median_ms": 40.0}, "40.0 ms late"),
    ],
)
def test_each_way_a_client_can_be_at_its_limit_is_named(change, said):
    (found,) = [why for why in record_reasons(serve(conditions={"client": change})) if why.code == "client_saturated"]
    assert said in found.evidence


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (serve(cap=1, prompts=3), False),  # with one in flight nothing fills and nothing drains
        (serve(cap=1, prompts=4), False),
        (serve(cap=1, prompts=2), True),
        (serve(cap=1, prompts=1, lengths=(128, 15_000)), True),  # one request of 30 s
        (serve(cap=2, prompts=8), True),
        (serve(cap=2, prompts=10), False),
        (serve(cap=None, prompts=1), True),
        (serve(cap=None, rate=10.0, prompts=30, itl_ms=23.0), True),  # 30 prompts of 1.5 s in 4.4 s
        (serve(cap=None, rate=10.0, prompts=100, itl_ms=23.0), False),
    ],
)
def test_a_window_is_long_enough_for_what_fills_and_drains_in_it(measured, expected):
    assert ("too_short" in codes(measured)) is expected


def random_prompts(vocabulary, earlier, sent, same_as=0, seed=1):
    """Return a measurement whose prompts begin at random as vLLM's do, `same_as` of them as an earlier run's did."""
    draw = random.Random(seed)
    seen, hits = {draw.randrange(vocabulary) for _ in range(earlier)}, same_as
    for number in range(sent - same_as):
        start = (draw.randrange(vocabulary) + number) % vocabulary
        hits += start in seen
        seen.add(start)
    return serve(
        prompts=sent,
        host={"model_config": {"vocab_size": vocabulary}, "counters": {"vllm:prefix_cache_hits_total": hits * 128.0}},
        conditions={"earlier_requests": earlier},
    )


@pytest.mark.parametrize("load", [(16_384, 0, 400), (128_256, 2400, 400), (16_384, 3000, 400), (512, 100, 40)])
def test_random_prompts_that_begin_alike_by_chance_are_not_called_a_warm_cache(load):
    runs = [random_prompts(*load, seed=seed) for seed in range(40)]
    assert sum("cache_warm" in codes(run) for run in runs) <= 1  # of a thousand
    hits = [run.host["counters"]["vllm:prefix_cache_hits_total"] / 128 for run in runs]
    assert sum(hits) / len(hits) > 0.01 * load[2], "by a fixed limit of 1 % they would have been"


@pytest.mark.parametrize(
    ("load", "same_as"),
    [((16_384, 0, 400), 20), ((128_256, 2400, 400), 40), ((151_936, 0, 40), 2), ((151_936, 40, 1000), 9)],
)
def test_prompts_that_an_earlier_run_sent_too_are_a_warm_cache_whatever_chance_adds(load, same_as):
    found = [why for why in record_reasons(random_prompts(*load, same_as=same_as)) if why.code == "cache_warm"]
    assert len(found) == 1 and f"{load[0]:,} words" in found[0].evidence


def test_more_in_flight_than_allowed_is_against_littles_law():
    assert "littles_law" in codes(serve(raw={"mean_e2el_ms": 300.0}))


def test_a_full_kv_cache_in_the_servers_log_is_enough():
    assert "kv_exhausted" in codes(serve(conditions={"kv_usage_max_pct": 99.6}))
    assert "kv_exhausted" not in codes(serve(conditions={"kv_usage_max_pct": 80.0}))


def test_ports_run_out_as_files_do():
    many = serve(cap=256, prompts=2560, conditions={"limits": {"open_files": 10**6, "ports": 300}})
    assert "limits_low" in codes(many)


@pytest.mark.parametrize(
    ("times_s", "expected"),
    [
        ([3.0] + [0.2] * 29, True),
        ([0.3] + [0.2] * 29, False),
        ([0.2] * 30, False),
        ([9.75, 6.05, 6.09], True),  # three iterations of eight long requests on an H200: a kernel was compiled
        ([6.45, 6.05, 6.09], False),
    ],
)
def test_a_slow_first_iteration_of_latency_mode_is_found(times_s, expected):
    assert ("first_requests_slow" in codes(latency(times_s))) is expected


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (latency(num_iters_warmup=0), True),
        (latency(), False),
        (throughput(num_warmup_prompts=0), True),
        (throughput(num_warmup_prompts=None), False),
    ],
)
def test_offline_modes_need_a_warm_up_too(measured, expected):
    assert ("warmup_too_small" in codes(measured)) is expected


def test_a_p99_of_thirty_iterations_is_no_tail_and_the_remedy_is_one_that_latency_mode_has():
    assert "percentile_not_earned" in codes(latency())
    assert "num_iters" in BY_CODE["percentile_not_earned"].remedy


def test_a_burst_that_one_step_explains_is_no_compilation():
    """The whole first wave may wait for one prefill of all its prompts."""
    assert "first_requests_slow" not in codes(serve(cap=64, prompts=640, first_ttft_ms=2000, ttft_ms=40))


def test_evidence_holds_both_values():
    (found,) = [why for why in record_reasons(PAIRS["server_disagrees"][0]) if why.code == "server_disagrees"]
    assert "client 2,560, server 3,840" in found.evidence


def test_without_evidence_checks_are_silent():
    """An attached server has no log, a plain command line no meter, an older record no conditions."""
    bare = serve()
    assert codes(type(bare)("serve", bare.workload, bare.values)) == ["nothing_completed", "asked_not_counted"] + [
        "percentile_not_earned"
    ]


@pytest.mark.parametrize(("percentile", "needed"), [(99, 662), (95, 130), (90, 64)])
def test_a_percentile_is_earned_when_the_second_slowest_bounds_it(percentile, needed):
    assert samples_needed(percentile) == needed
    assert is_earned(needed, percentile) and not is_earned(needed - 1, percentile)
    assert f"{needed}" in BY_CODE["percentile_not_earned"].threshold


def test_the_interval_of_a_percentile_is_the_exact_one():
    from scipy.stats import binom

    for count, percentile in [(30, 99), (80, 99), (400, 99), (100, 90), (1000, 95)]:
        low, high = percentile_ranks(count, percentile)
        assert binom.cdf(low - 1, count, percentile / 100) <= 0.025 or low == 1
        assert binom.cdf(low, count, percentile / 100) > 0.025
        if high is None:
            assert binom.cdf(count - 1, count, percentile / 100) < 0.975
        else:
            assert binom.cdf(high - 1, count, percentile / 100) >= 0.975 > binom.cdf(high - 2, count, percentile / 100)


@pytest.mark.parametrize(
    "line",
    [
        "WARNING 11-24 [jit_monitor.py:140] Triton kernel JIT compilation during inference: _fwd (x). This causes",
        "INFO 11-24 [monitor.py:40] Starting torch.compile",
        "INFO 11-24 [backends.py:398] Compiling a graph for compile range (1, 8192) takes 3.21 s",
        "Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  40%|####      | 33/83",
        "INFO 11-24 [gpu_model_runner.py:6582] Graph capturing finished in 113 secs, took 0.84 GiB",
    ],
)
def test_vllms_own_lines_about_compiling_are_known(line):
    assert COMPILE_LINE.search(line)


@pytest.mark.parametrize(
    "line",
    [
        "INFO 11-24 [loggers.py:248] Engine 000: Avg prompt throughput: 12.0 tokens/s, GPU KV cache usage: 1.2%",
        'INFO:     127.0.0.1:1234 - "POST /v1/completions HTTP/1.1" 200 OK',
        "INFO 11-24 Skipping FlashInfer autotune because it is disabled.",
    ],
)
def test_other_lines_are_not_taken_for_it(line):
    assert not COMPILE_LINE.search(line)
