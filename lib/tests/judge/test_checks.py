"""Every code of one measurement: a fault that provokes it, and the twin without the fault, which does not have it."""

import itertools
import random
from dataclasses import replace

import pytest
from benchbook.hosts.vllm.counters import COMPILE_LINE
from benchbook.judge.catalogue import BY_CODE, CODES
from benchbook.judge.checks import record_reasons
from benchbook.judge.unseen import not_looked
from benchbook.plan.requests import RequestSet
from benchbook.plan.workloads import ServeWorkload
from benchbook.records.conditions import Sent
from benchbook.records.parts import MachineFacts
from benchbook.records.record import Verdict, verdict_of
from benchbook.terms.asked import Offered
from benchbook.terms.percentiles import is_earned, percentile_ranks, samples_needed
from benchbook.terms.rates import Ramp
from measured import latency, measured_of, serve, throughput, with_pace
from parts import having

SOUND = serve()
RANGED = {"range_ratio": 0.5}
COMMAND = ["vllm", "serve", "m"]
PLACE = {"number": 1, "at_once": 4}
COST = {"beside": 3, "metric": "output_throughput_tok_s", "limit": 0.01}


def halved():
    """Return a closed loop whose second half is half as fast."""
    slow = serve(cap=8, prompts=40, ttft_ms=40.0, itl_ms=4.0)
    fast = serve(cap=8, prompts=40)
    later_s = fast.window_s
    raw = {key: [*fast.raw[key], *slow.raw[key]] for key in ("ttfts", "itls", "latencies", "queue_times")}
    raw["start_times"] = [*fast.raw["start_times"], *(start + later_s for start in slow.raw["start_times"])]
    return serve(cap=8, prompts=80, raw=raw)


def standing_still(after=60, still_s=8.0, **load):
    """Return a load in which nothing came for `still_s`, while the requests from number `after` on were in flight."""
    sound = serve(**load)
    start_s = sorted(sound.raw["start_times"])[after] + 0.01
    raw = {"start_times": [], "ttfts": [], "itls": [], "latencies": []}
    for start, ttft, gaps in zip(sound.raw["start_times"], sound.raw["ttfts"], sound.raw["itls"]):
        times = [start, start + ttft]
        for gap in gaps:
            times.append(times[-1] + gap)
        times = [time if time < start_s else time + still_s for time in times]
        gaps = [later - earlier for earlier, later in zip(times[1:], times[2:])]
        for key, value in zip(raw, (times[0], times[1] - times[0], gaps, times[-1] - times[0])):
            raw[key].append(value)
    return serve(**load, raw={**raw, "duration": sound.raw["duration"] + still_s})


def growing(prompts=600, sent_rps=10.0, served_rps=8.3):
    """Return an open loop above capacity: each request waits for all before it."""
    waits_s = [number * (1 / served_rps - 1 / sent_rps) for number in range(prompts)]
    sound = serve(cap=None, rate=sent_rps, prompts=prompts)
    raw = {
        "ttfts": [0.02 + wait_s for wait_s in waits_s],
        "latencies": [latency_s + wait_s for latency_s, wait_s in zip(sound.raw["latencies"], waits_s)],
    }
    return serve(cap=None, rate=sent_rps, prompts=prompts, raw=raw)


def frozen(hits=0.0, is_replayed=False, in_turns=False, is_chat=False, **sent):
    """Return a load of frozen requests of which `sent` was noted, with so many hits of the prefix cache."""
    workload = {"requests": "chats"} if is_chat else {}
    measured = serve(host={"counters": {"prefix_cache_hits": hits}}, conditions={"sent": sent}, workload=workload)
    asked = {"shares_prefix": True, "is_replayed": is_replayed, "in_turns": in_turns}
    asked |= {"input_tokens": None} if is_chat else {}  # nobody knows what a template adds
    return replace(measured, asked=measured.asked.model_copy(update=asked))


def found_in_the_cache(share, least=0.50, most=0.60):
    """Return a load of which so much was to be in the prefix cache, and `share` was found there."""
    tokens = 40 * 128
    cached = {"least_cached_tokens": round(least * tokens), "most_cached_tokens": round(most * tokens)}
    return frozen(hits=share * tokens, **cached)


STILL = standing_still(prompts=400)
GROWING = growing()
HALVED = halved()
AT_ITS_CEILING = {"chunks_per_s": 7300.0, "ceiling_chunks_per_s": 9000.0}


def told(**values):
    """Return the figures of a sound measurement without its raw file, `values` changed."""
    return replace(SOUND, raw={}, values={**SOUND.values, **values})


# code: (a measurement with the fault, its twin without)
PAIRS = {
    "requests_failed": (serve(raw={"failed": 1, "errors": ["boom"] + [""] * 39}), SOUND),
    "nothing_completed": (serve(raw={"completed": 0, "failed": 40, "errors": ["x"] * 40}), SOUND),
    "value_no_number": (serve(raw={"total_output_tokens": float("nan")}), SOUND),
    "outputs_short": (serve(raw={"output_lens": [64] * 39 + [38]}), SOUND),
    "asked_not_counted": (serve(raw={"total_input_tokens": 40 * 1024}), SOUND),
    "finish_not_length": (
        serve(host={"counters": {"requests_ended_by_stop": 3.0}}),
        serve(host={"counters": {"requests_ended_by_length": 40.0}}),
    ),
    "server_disagrees": (
        serve(host={"counters": {"generation_tokens": 40 * 64 * 1.5}}),
        serve(host={"counters": {"generation_tokens": 40 * 64 * 1.005}}),  # a token counted a moment late
    ),
    "lengths_shifted": (
        serve(workload=RANGED, raw={"input_lens": [90] * 40}),  # 0.7 times what was asked
        serve(workload=RANGED, raw={"input_lens": [90, 166] * 20}),
    ),
    "figures_contradict": (told(median_ttft_ms=20.0, p99_ttft_ms=5.0), told(median_ttft_ms=20.0, p99_ttft_ms=50.0)),
    "figures_hint": (told(mean_ttft_ms=60.0, median_ttft_ms=20.0), told(mean_ttft_ms=30.0, median_ttft_ms=20.0)),
    "stream_bunched": (serve(raw={"itls": [[0.00002] * 63] * 40, "latencies": [0.02 + 63 * 0.00002] * 40}), SOUND),
    "itl_per_chunk": (serve(raw={"itls": [[0.126 / 31] * 31] * 40}), SOUND),
    # One that comes at once, without text; TTFT and the gap after it are those of the first token together.
    "empty_first_chunk": (serve(raw={"itls": [[0.3] + [0.002] * 63] * 40}), SOUND),
    # As a chat opens: the role, and at once the first token.
    "opening_chunk": (
        serve(raw={"itls": [[0.0002] + [0.002] * 63] * 40}),
        serve(raw={"itls": [[0.3] + [0.002] * 63] * 40}),
    ),
    "closing_chunk": (
        serve(raw={"itls": [[0.002] * 63 + [0.0001]] * 40}),
        serve(raw={"itls": [[0.002] * 62 + [0.3]] * 40}),
    ),
    "latency_sum_broken": (serve(raw={"latencies": [0.2] * 40}), SOUND),
    "littles_law": (serve(raw={"duration": 0.5}), SOUND),
    "concurrency_not_reached": (serve(cap=8, prompts=5), serve(cap=8, prompts=80)),
    # A slot's latency is 146 ms: seven in flight answer 48 a second.
    "rate_not_reached": (serve(cap=7, rate=50.0, prompts=400), serve(cap=8, rate=50.0, prompts=400)),
    "server_stalled": (STILL, serve(cap=4, prompts=400, ttft_ms=600)),  # a long prefill is none
    "overloaded": (GROWING, serve(cap=None, rate=8.0, prompts=600)),
    "speed_shifted": (HALVED, serve(cap=8, prompts=80, noise=random.Random(0))),
    "iterations_unsteady": (latency([0.2, 0.3] * 15), latency([0.2, 0.21] * 15)),
    "max_num_seqs_low": (
        serve(cap=64, prompts=640, host={"argv": [*COMMAND, "--max-num-seqs", "8"]}),
        serve(cap=64, prompts=640, host={"argv": [*COMMAND, "--max-num-seqs", "64"]}),
    ),
    "steps_padded": (
        serve(cap=10, prompts=100, host={"facts": {"graph_sizes": [1, 2, 4, 8, 16]}}),
        serve(cap=8, prompts=100, host={"facts": {"graph_sizes": [1, 2, 4, 8, 16]}}),
    ),
    "other_requests_sent": (
        replace(frozen(is_chat=True, sha256="ab" * 32), request_set_sha256="cd" * 32),
        replace(frozen(is_chat=True, sha256="ab" * 32), request_set_sha256="ab" * 32),
    ),
    "template_tokens": (
        frozen(is_chat=True, sent_tokens=4800, counted_tokens=5120, uncounted=0),
        frozen(is_chat=True, sent_tokens=5120, counted_tokens=5120, uncounted=0),
    ),
    "arrivals_late": (frozen(is_replayed=True, late_p99_ms=21.0), frozen(is_replayed=True, late_p99_ms=19.0)),
    "history_cut": (frozen(in_turns=True, histories_cut=1), frozen(in_turns=True, histories_cut=0)),
    "prefix_hits_differ": (found_in_the_cache(0.30), found_in_the_cache(0.49)),
    "client_queue_dominates": (serve(cap=2, rate=200.0, prompts=100), serve(cap=64, rate=200.0, prompts=100)),
    "too_short": (serve(prompts=12), serve(prompts=20)),  # three and five waves
    "drain_dominates": (serve(prompts=40, last_factor=8), serve(prompts=40, last_factor=1.5)),
    "start_burst": (serve(first_ttft_ms=60), serve(first_ttft_ms=30)),
    "pace_shifted": (
        with_pace(serve(prompts=80), lambda share: 1.05 if share > 0.5 else 1.0),
        with_pace(serve(prompts=80), lambda share: 1.02 if share > 0.5 else 1.0),
    ),
    "precision_missed": (
        serve(conditions={"precision": {"asked": {"p99_ttft_ms": 0.1}, "reached": {"p99_ttft_ms": 0.16}}}),
        serve(conditions={"precision": {"asked": {"p99_ttft_ms": 0.1}, "reached": {"p99_ttft_ms": 0.14}}}),
    ),
    "cache_warm": (
        serve(host={"counters": {"prefix_cache_hits": 0.64 * 40 * 128}}),
        serve(host={"counters": {"prefix_cache_hits": 0.005 * 40 * 128}}),
    ),
    "warmup_too_small": (serve(conditions={"warmup_prompts": 1}), serve(conditions={"warmup_prompts": 4})),
    "compiled_while_measuring": (
        serve(conditions={"compile_lines": ["WARNING Triton kernel JIT compilation during inference: _fwd."]}),
        SOUND,
    ),
    # FACTS of a first run on a large GPU: 10 s for the first eight requests, 0.4 s later on.
    "first_requests_slow": (serve(first_ttft_ms=10_000, ttft_ms=400), serve(first_ttft_ms=1500, ttft_ms=400)),
    "percentile_not_earned": (serve(cap=8, prompts=661), serve(cap=8, prompts=662)),
    "preempted": (serve(host={"counters": {"preemptions": 1.0}}), SOUND),
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
    "neighbours_slow": (
        serve(host={"place": PLACE | {"neighbours": COST | {"cost": 0.023, "low": 0.011, "high": 0.035}}}),
        serve(host={"place": PLACE | {"neighbours": COST | {"cost": 0.003, "low": -0.002, "high": 0.008}}}),
    ),
    "start_not_proven": (
        serve(host={"facts": {"taken_over": "ipc_cache"}}),
        serve(host={"facts": {"taken_over": "ipc_cache", "proven_equal": "within 0.8 % over 8 rounds"}}),
    ),
    "limits_low": (serve(cap=960, prompts=1920), serve(cap=500, prompts=1000)),
    "server_restarted": (serve(conditions={"counters_went_back": ["prompt_tokens"]}), SOUND),
    "several_engines": (
        serve(conditions={"engine_tokens": {"0": 2560.0, "1": 0.0}}),
        serve(conditions={"engine_tokens": {"0": 2560.0}}),
    ),
    "foreign_traffic": (
        serve(host={"counters": {"requests_ended_by_length": 43.0}, "attached": {"address": "http://h"}}),
        serve(host={"counters": {"requests_ended_by_length": 40.0}, "attached": {"address": "http://h"}}),
    ),
    "watching_failed": (serve(conditions={"watching_errors": ["telemetry: OSError: gone"]}), SOUND),
    # A raw file that a check cannot read, as one vLLM wrote without `latencies` once was.
    "check_failed": (serve(raw={"output_lens": [None] * 40}), SOUND),
    "guards_down": (serve(host={"argv": ["vllm", "serve", "m", "--trust-remote-code"]}), SOUND),
    "random_weights": (serve(host={"random_weights": True}), SOUND),
    "speculation_unlike_text": (
        serve(host={"argv": ["vllm", "serve", "m", "--speculative-config", '{"method": "ngram"}']}),
        serve(host={"argv": ["vllm", "serve", "m", "--max-model-len", "512"]}),
    ),
}
# Of groups: test_group_checks.py, test_coherence.py; of notebooks: test_checks_in_sweeps.py; of GPUs: test_hosts_telemetry.py;
# of files that were imported: numbers/test_import.py
ELSEWHERE = {
    "clocks_low",
    "gpu_throttled",
    "gpu_shared",
    "gpu_power_capped",
    "measured_once",
    "repeats_disagree",
    "repeats_trend",
    "repeat_outlier",
    "repeats_in_groups",
    "network_differs",
    "requests_differ",
    "natural_stops_differ",
    "host_restarted",
    "host_differs",
    "kv_capacity_differs",
    "floor_above_load",
    "ceiling_below_serving",
    "tpot_contradicts_latency",
    "outputs_differ",
    "answers_worse",
    "guard_too_wide",
    "guard_means_nothing",
    "degenerate_model",
    "notebook_raised",
    "read_as",
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
        ({"loop_lag_median_ms": 24.0}, "24.0 ms late (median), with a median TTFT of 30.0 ms"),
    ],
)
def test_each_way_a_client_can_be_at_its_limit_is_named(change, said):
    measured = serve(conditions={"client": change}, raw={"median_ttft_ms": 30.0})
    (found,) = [why for why in record_reasons(measured) if why.code == "client_saturated"]
    assert said in found.evidence


@pytest.mark.parametrize(
    ("lag_ms", "ttft_ms", "expected"),
    [
        (24.0, 30.0, True),
        (8.0, 30.0, True),
        (6.0, 30.0, False),
        (2.5, 6.0, False),  # a timer of a busy loop
        (4.0, 6.0, True),
        (24.0, 400.0, False),
        (26.0, 4000.0, True),  # later than a token's pace
        (24.0, None, False),
    ],
)
def test_how_late_a_client_may_be_depends_on_the_ttft_that_it_measures(lag_ms, ttft_ms, expected):
    measured = serve(conditions={"client": {"loop_lag_median_ms": lag_ms}}, raw={"median_ttft_ms": ttft_ms})
    assert ("client_saturated" in codes(measured)) is expected


@pytest.mark.parametrize(
    ("cpus", "own", "other", "expected"),
    [
        (128, 0.80, 24 / 128, True),  # an engine that computes on all processors
        (128, 0.70, 24 / 128, True),
        (128, 0.03, 0.21, False),  # a GPU's server, which needs four of them
        (128, 0.10, 24 / 128, False),
        (128, 0.03, 0.95, True),
        (64, 0.25, 0.60, True),
        (2, 0.50, 0.40, True),
        (2, 0.90, 0.10, False),  # the usual small services
        (2, 0.60, 0.03, False),
        (0.5, 0.60, 0.35, True),  # of a container
        (8, 0.0, 0.0, False),
    ],
)
def test_others_disturb_by_the_processors_that_ours_had_use_for(cpus, own, other, expected):
    machine = {"cpus": cpus, "own_cpu_share": own, "other_cpu_share": other}
    assert ("machine_busy" in codes(serve(conditions={"machine": machine}))) is expected


@pytest.mark.parametrize(
    ("cpus", "own", "other", "stolen", "expected"),
    [
        (2, 0.52, 0.0, 0.08, True),  # all takes a sixth longer, and half of the processors are free
        (2, 0.57, 0.01, 0.01, False),
        (128, 0.015, 0.001, 0.002, True),  # of a GPU's server, whose few processors were taken
        (128, 0.015, 0.001, 0.0005, False),
        (2, 0.5, 0.4, None, True),  # as before anybody noted it
        (2, 0.5, 0.0, None, False),
        (2, 0.0, 0.0, 0.0, False),
    ],
)
def test_processor_time_that_the_host_of_a_virtual_machine_stole_is_a_disturbance(cpus, own, other, stolen, expected):
    machine = {"cpus": cpus, "own_cpu_share": own, "other_cpu_share": other, "stolen_cpu_share": stolen}
    assert ("machine_busy" in codes(serve(conditions={"machine": machine}))) is expected


def heaped(number_of_heaps, tokens):
    """Return a load of 100 answers of which some came in one heap, after the whole answer's time."""
    sound = serve(prompts=100, lengths=(128, tokens))
    raw = {key: [*sound.raw[key]] for key in ("ttfts", "itls")}
    for number in range(number_of_heaps):
        raw["ttfts"][number] = sound.raw["latencies"][number] - 0.00002 * (tokens - 1)
        raw["itls"][number] = [0.00002] * (tokens - 1)
    return serve(prompts=100, lengths=(128, tokens), raw=raw)


@pytest.mark.parametrize(("answers", "expected"), [(0, False), (1, False), (6, True), (100, True)])
@pytest.mark.parametrize("tokens", [4, 6, 64])
def test_an_answer_of_several_tokens_in_a_single_chunk_is_a_heap_unless_a_step_makes_several(answers, tokens, expected):
    sound = serve(prompts=100, lengths=(128, tokens))
    raw = {key: [*sound.raw[key]] for key in ("ttfts", "itls")}
    for number in range(answers):
        raw["ttfts"][number], raw["itls"][number] = sound.raw["latencies"][number], []
    whole = serve(prompts=100, lengths=(128, tokens), raw=raw)
    assert ("stream_bunched" in codes(whole)) is (expected or (answers == 1 and tokens == 64))
    speculative = serve(prompts=100, lengths=(128, tokens), raw={**raw, "spec_decode_acceptance_rate": 60.0})
    assert "stream_bunched" not in codes(speculative)


@pytest.mark.parametrize(
    ("heaps", "tokens", "expected"),
    [
        (6, 64, True),
        (4, 64, True),  # their TTFT is seven times that of the others, and the mean a quarter longer
        (1, 64, True),
        (1, 16, False),
        (4, 2, False),  # an answer of two tokens comes nearly at once anyway
        (6, 2, True),
        (0, 64, False),
    ],
)
def test_heaps_count_by_what_they_do_to_the_mean_ttft(heaps, tokens, expected):
    assert ("stream_bunched" in codes(heaped(heaps, tokens))) is expected


@pytest.mark.parametrize(
    ("lengths", "ratio", "expected"),
    [
        ([64] * 38 + [31, 20], 0.5, True),  # the least that is drawn is 32
        ([64] * 38 + [32, 96], 0.5, False),
        ([64] * 39 + [6], 0.9, False),
        ([64] * 39 + [5], 0.9, True),
        ([64] * 39 + [63], 0.0, True),
    ],
)
def test_an_answer_below_the_least_length_that_a_range_draws_was_cut(lengths, ratio, expected):
    measured = serve(workload={"range_ratio": ratio}, raw={"output_lens": lengths})
    assert ("outputs_short" in codes(measured)) is expected


@pytest.mark.parametrize(
    ("cut", "lengths", "said"),
    [
        ([[80, 60]], [64] * 39 + [60], "1 answer ended before the drawn length, the first after 60 of 80"),
        ([[33, 32], [96, 95], [50, 40]], [64] * 37 + [32, 95, 40], "3 answers"),
        ([[64, 20]], [64] * 39 + [20], "1 answer ended early: 20 to 20"),
        ([], [64] * 39 + [32], ""),
    ],
)
def test_an_answer_cut_above_the_least_length_is_found_by_the_length_that_was_drawn_for_it(cut, lengths, said):
    noted = {**SOUND.conditions.client.model_dump(), "cut_answers": cut}
    measured = serve(workload=RANGED, raw={"output_lens": lengths}, conditions={"client": noted})
    found = [why.evidence for why in record_reasons(measured) if why.code == "outputs_short"]
    assert len(found) == bool(said) and all(said in evidence for evidence in found)
    assert "outputs_short" not in not_looked(measured)


@pytest.mark.parametrize(("ratio", "is_looked"), [(0.5, False), (0.0, True), (None, True)])
def test_where_nobody_noted_the_drawn_lengths_cut_answers_are_not_looked_for(ratio, is_looked):
    measured = serve(workload={"range_ratio": ratio}, conditions={"client": {"cpu_cores": 0.3}})
    assert ("outputs_short" not in not_looked(measured)) == is_looked


@pytest.mark.parametrize(
    ("asked", "sent", "prompts", "expected"),
    [
        (10.0, 7.0, 80, True),
        (10.0, 4.0, 20, True),
        (10.0, 9.6, 200, True),
        (10.0, 9.9, 20, False),
        (10.0, 9.9, 600, False),
    ],
)
def test_a_rate_that_is_missed_has_no_excuse_in_chance(asked, sent, prompts, expected):
    """vLLM scales its arrivals: n requests take n / rate, however few they are."""
    measured = serve(cap=None, rate=sent, prompts=prompts, workload={"request_rate_rps": asked})
    assert ("rate_not_reached" in codes(measured)) is expected


def test_what_is_sent_all_at_once_is_warmed_up_with_as_many_as_a_step_holds():
    for prompts, sent, is_few in ((600, 255, True), (600, 256, False), (40, 39, True), (40, 40, False)):
        closed = serve(cap=prompts, prompts=prompts, conditions={"warmup_prompts": sent})
        wave = replace(closed, load=Offered(by="num_prompts", value=prompts))
        assert ("warmup_too_small" in codes(wave)) is is_few


def test_what_is_sent_all_at_once_is_not_blamed_for_filling_and_draining():
    for prompts, itl_ms in ((8, 2.0), (80, 5.0), (300, 1.0)):
        closed = serve(cap=prompts, prompts=prompts, itl_ms=itl_ms)
        wave = replace(closed, load=Offered(by="num_prompts", value=prompts))
        assert "too_short" in codes(closed)
        assert not set(codes(wave)) & {"too_short", "drain_dominates", "concurrency_not_reached", "start_burst"}


@pytest.mark.parametrize("text", ["1 to 16 linear", "2 to 8 exponential", "4 to 40 linear"])
def test_a_ramp_is_sent_by_chance_and_blamed_where_the_client_was_too_slow_for_it(text):
    ramp, draw, prompts = Ramp.of(text), random.Random(text), 200
    shares = [number / (prompts - 1) for number in range(prompts)]
    rises = (lambda share: ramp.start_rps + (ramp.end_rps - ramp.start_rps) * share) if "linear" in text else (
        lambda share: ramp.start_rps * (ramp.end_rps / ramp.start_rps) ** share
    )  # fmt: skip

    def sent(slower: float):
        starts = list(itertools.accumulate(slower * draw.expovariate(rises(share)) for share in shares))
        load = Offered(by="request_rate_rps", value=ramp.mean_rps, ramp=text)
        measured = serve(cap=None, rate=1.0, prompts=prompts, raw={"start_times": starts, "duration": None})
        return replace(measured, load=load, values={**measured.values, "request_throughput_rps": ramp.mean_rps})

    assert not set(codes(sent(1.0))) & {"rate_not_reached", "figures_contradict", "speed_shifted", "overloaded"}
    assert "rate_not_reached" in codes(sent(3.0))


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
        host={"model_config": {"vocab_size": vocabulary}, "counters": {"prefix_cache_hits": hits * 128.0}},
        conditions={"earlier_requests": earlier},
    )


@pytest.mark.parametrize("load", [(16_384, 0, 400), (128_256, 2400, 400), (16_384, 3000, 400), (512, 100, 40)])
def test_random_prompts_that_begin_alike_by_chance_are_not_called_a_warm_cache(load):
    runs = [random_prompts(*load, seed=seed) for seed in range(40)]
    assert sum("cache_warm" in codes(run) for run in runs) <= 1  # of a thousand
    hits = [run.host.counters["prefix_cache_hits"] / 128 for run in runs]
    assert sum(hits) / len(hits) > 0.01 * load[2], "by a fixed limit of 1 % they would have been"


@pytest.mark.parametrize(
    ("load", "same_as"),
    [((16_384, 0, 400), 20), ((128_256, 2400, 400), 40), ((151_936, 0, 40), 2), ((151_936, 40, 1000), 9)],
)
def test_prompts_that_an_earlier_run_sent_too_are_a_warm_cache_whatever_chance_adds(load, same_as):
    found = [why for why in record_reasons(random_prompts(*load, same_as=same_as)) if why.code == "cache_warm"]
    assert len(found) == 1 and f"{load[0]:,} words" in found[0].evidence


@pytest.mark.parametrize("cap", [1, 8, 64])
def test_what_is_said_against_a_small_warm_up_is_what_is_sent_where_nothing_is_set(cap):
    load = ServeWorkload(input_len_tokens=8, output_len_tokens=8, max_concurrency=cap, num_prompts=10 * cap)
    assert load.warmup_prompts == 2 * cap and "two for each request in flight" in BY_CODE["warmup_too_small"].remedy


def test_more_in_flight_than_allowed_is_against_littles_law():
    assert "littles_law" in codes(serve(raw={"mean_e2el_ms": 300.0}))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--max-num-seqs", "64", "--max-num-active-seqs", "8"], "max_num_active_seqs lets 8 of 64"),
        (["--max-num-active-seqs=8"], "max_num_active_seqs lets 8 of 64"),
        (["--max-num-seqs", "64", "--max-num-active-seqs", "64"], ""),
    ],
)
def test_requests_that_wait_to_become_active_are_a_queue_too(flags, said):
    measured = serve(cap=64, prompts=640, host={"argv": [*COMMAND, *flags]})
    found = [why.evidence for why in record_reasons(measured) if why.code == "max_num_seqs_low"]
    assert [said in evidence for evidence in found] == ([True] if said else [])


def test_a_full_kv_cache_in_the_servers_log_is_enough():
    assert "kv_exhausted" in codes(serve(conditions={"kv_usage_max_pct": 99.6}))
    assert "kv_exhausted" not in codes(serve(conditions={"kv_usage_max_pct": 80.0}))


@pytest.mark.parametrize(("ratio", "expected"), [(0.995, True), (0.8, False), (None, False)])
def test_a_full_kv_cache_is_seen_on_the_gauge_too_where_there_is_no_log(ratio, expected):
    summary = {"server": {"max_kv_use_ratio": ratio}, "gpus": []}
    assert ("kv_exhausted" in codes(serve(host={"telemetry": summary}))) is expected


CPU, L40S = {"device": "CPU, 2 threads"}, {"device": "NVIDIA L40S"}
CARDS = {"gpus": [{"name": "NVIDIA L40S", "memory": "46068 MiB"}]}


def on_device(measured, peaks, *flags, machine=None, **host):
    argv = [*COMMAND, *flags]
    return replace(
        measured, host=having(measured.host, argv=argv, peaks=peaks, **host), machine=MachineFacts(**(machine or {}))
    )


@pytest.mark.parametrize(
    ("measured", "seats"),
    [
        (on_device(serve(cap=200, prompts=2000), CPU), 128),
        (on_device(serve(cap=128, prompts=1280), CPU), None),
        (on_device(serve(cap=200, prompts=2000), CPU, "--max-num-seqs", "256"), None),
        (on_device(serve(cap=200, prompts=2000), CPU, "--data-parallel-size", "2"), None),
        (on_device(serve(cap=400, prompts=4000), L40S, machine=CARDS), 256),
        (on_device(serve(cap=400, prompts=4000), L40S, "--performance-mode", "throughput", machine=CARDS), None),
        (on_device(serve(cap=400, prompts=4000), L40S, "--max-num-batched-tokens", "64", machine=CARDS), 64),
        (on_device(serve(cap=400, rate=50.0, prompts=4000), CPU), None),  # 8 are in flight at that rate
        (on_device(serve(cap=64, rate=50.0, prompts=400), CPU, "--max-num-seqs", "4"), None),
        (on_device(latency(batch_size=300), CPU, kind="engine"), 256),
        (on_device(latency(batch_size=256), CPU, kind="engine"), None),
        (on_device(latency(batch_size=8), CPU, "--max-num-seqs", "2", kind="engine"), 2),
    ],
)
def test_more_in_flight_than_vllm_runs_at_once_are_a_queue_by_its_own_default_too(measured, seats):
    found = [why.evidence for why in record_reasons(measured) if why.code == "max_num_seqs_low"]
    assert len(found) == (seats is not None) and all(f"lets {seats} of" in evidence for evidence in found)
    assert "max_num_seqs_low" not in not_looked(measured)


@pytest.mark.parametrize(("in_flight", "is_looked"), [(128, True), (129, False), (600, False)])
def test_on_a_device_whose_default_is_not_known_more_than_the_least_is_not_looked_at(in_flight, is_looked):
    measured = on_device(serve(cap=in_flight, prompts=10 * in_flight), {"device": "TPU v9"})
    assert ("max_num_seqs_low" not in not_looked(measured)) == is_looked
    told = on_device(measured, {"device": "TPU v9"}, "--max-num-seqs", "8")
    assert "max_num_seqs_low" not in not_looked(told)


@pytest.mark.parametrize(("rate", "is_full"), [(None, True), (50.0, False)])
def test_a_cap_of_an_open_loop_is_no_load_on_the_kv_cache(rate, is_full):
    measured = serve(cap=400, rate=rate, prompts=4000)  # the cache holds 341 of them
    assert ("kv_exhausted" in codes(measured)) == is_full


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
        ([0.45, 0.2, 0.2], True),  # half a second is not needed: the mean is 42 % longer
        ([0.024, 0.01, 0.01, 0.01], True),
        ([0.25, 0.2, 0.2], False),
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


@pytest.mark.parametrize(
    ("counters", "beyond"),
    [
        ({"requests_ended_by_length": 41.0, "requests_ended_by_stop": 2.0}, "3 requests"),
        ({"generation_tokens": 4000.0}, "1,440 generation tokens"),
        ({"prompt_tokens": 40 * 128 * 3.0, "requests_ended": 90.0}, "90 requests, 10,240 prompt tokens"),
    ],
)
def test_what_others_had_answered_is_told_as_theirs_and_not_as_a_disagreement(counters, beyond):
    theirs = {"address": "http://h"}
    found = record_reasons(serve(host={"counters": counters, "attached": theirs}))
    (traffic,) = [why for why in found if why.code == "foreign_traffic"]
    assert beyond in traffic.evidence and "server_disagrees" not in {why.code for why in found}
    of_ours = {why.code for why in record_reasons(serve(host={"counters": counters}))}
    assert "server_disagrees" in of_ours and "foreign_traffic" not in of_ours
    fewer = record_reasons(serve(host={"counters": {"generation_tokens": 1000.0}, "attached": theirs}))
    assert {why.code for why in fewer} & {"server_disagrees", "foreign_traffic"} == {"server_disagrees"}


def test_without_evidence_checks_are_silent():
    """An attached server has no log, a plain command line no meter, an older record no conditions."""
    bare = serve()
    assert codes(measured_of("serve", bare.workload, bare.values)) == ["asked_not_counted", "percentile_not_earned"]


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
        "2026-11-24 12:24:22,992 - INFO - flashinfer.jit: Loading JIT ops: batch_prefill_with_kv_cache_dtype_q_bf16",
        "2026-11-24 12:37:43,609 - INFO - autotuner.py:256 - flashinfer.jit: [Autotuner]: Autotuning process starts ...",
        "[aiter] start build [module_moe_ck2stages] under /usr/lib/aiter/jit/build/module_moe_ck2stages",
        "DeepGEMM warmup:  40%|####      | 1152/2880 [00:12<00:18, 95.11it/s]",
        "DeepGemm(fp8_gemm_nt) warmup (W=torch.Size([7168, 18432])) [relaxed]: 100%|####| 292/292 [00:00<00:00]",
        "2026-11-24 06:00:43  [TileLang:tilelang.jit.kernel:INFO]: TileLang begins to compile kernel `main`",
        "WARNING 11-24 [jit_monitor.py:180] TileLang JIT compilation during inference: mhc_post. This causes a latency",
        "WARNING 11-24 [jit_monitor.py:180] CuTeDSL JIT compilation during inference: kernel. This causes a latency",
        "AUTOTUNE mm(64x2880, 2880x5120)",
        "SingleProcess AUTOTUNE benchmarking takes 2.0428 seconds and 7.5727 seconds precompiling for 20 choices",
        "W1124 torch/_dynamo/convert_frame.py:1995] [0/8] torch._dynamo hit config.recompile_limit (8)",
        "W1124 torch/_dynamo/convert_frame.py:906] [0/8] torch._dynamo hit config.cache_size_limit (8)",
        "V1124 torch/_dynamo/guards.py:5389] [1/2] [__recompiles] Recompiling function forward in /x/llama.py:410",
        "INFO 11-24 [kernel_warmup.py:176] JIT kernel warmup starting.",
        "Triton autotuning for function _fwd finished after 3.21s; best config selected: BLOCK: 64;",
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
        "INFO 11-24 Using FlashInfer autotune cache file: /root/.cache/vllm/flashinfer_autotune_cache/1",
        "INFO 11-24 Kernel JIT monitor activated; monitored JIT compilations during inference will use mode=warn.",
        "INFO 11-24 Using DeepGEMM for the experts of this layer.",
        "[aiter] import [module_rmsnorm] under /usr/lib/aiter/jit/module_rmsnorm.so",
        "INFO 11-24 Using FlashInfer for top-p & top-k sampling.",
    ],
)
def test_other_lines_are_not_taken_for_it(line):
    assert not COMPILE_LINE.search(line)


def test_a_system_prompt_that_a_template_puts_before_each_message_makes_no_cache_warm():
    for by_template, is_warm in ((0, True), (600, True), (1000, False), (None, True)):
        found = serve(
            host={"counters": {"prefix_cache_hits": 1000.0}}, conditions={"sent": {"most_cached_tokens": by_template}}
        )
        assert ("cache_warm" in codes(found)) is is_warm


@pytest.mark.parametrize(
    ("share", "least", "most", "expected"),
    [
        (0.47, 0.5, 0.6, True),
        (0.485, 0.5, 0.6, False),  # two points below what it must have
        (0.55, 0.5, 0.6, False),  # between what it must have and what it may
        (0.615, 0.5, 0.6, False),
        (0.63, 0.5, 0.6, True),
        (0.0, 0.0, 0.8, False),  # others that shared it may have been sent to another server
        (0.63, 0.0, 0.0, False),  # nothing was designed: that is `cache_warm`
    ],
)
def test_hits_may_lie_between_what_was_sent_and_what_there_is_to_share(share, least, most, expected):
    assert ("prefix_hits_differ" in codes(found_in_the_cache(share, least, most))) is expected


def test_conversations_are_there_while_their_users_think():
    thinking = serve(cap=8, prompts=5)
    assert "concurrency_not_reached" in codes(thinking)
    for at_once, expected in ((7.5, False), (5.0, True)):
        watched = thinking.conditions.model_copy(update={"sent": Sent(conversations_at_once=at_once)})
        assert ("concurrency_not_reached" in codes(replace(thinking, conditions=watched))) is expected


@pytest.mark.parametrize(
    ("gaps", "output_tokens", "said"),
    [
        ([0.0003] + [0.002] * 63, 64, "opening_chunk"),
        ([0.0012] + [0.002] * 63, 64, "empty_first_chunk"),  # half a step before the token and more
        ([0.0003, 0.0003] + [0.002] * 63, 64, "empty_first_chunk"),  # two of them
        ([0.002] * 63 + [0.0002], 64, "closing_chunk"),
        ([0.002] * 63 + [0.0012], 64, "empty_first_chunk"),  # half a step behind the token and more
        ([0.002] * 63 + [0.0002, 0.0002], 64, "closing_chunk"),  # two of them
        ([0.002] * 63 + [0.0002, 0.0012], 64, "empty_first_chunk"),
        ([0.002] * 63 + [0.0002] * 3, 64, "empty_first_chunk"),
        ([0.3, 0.002, 0.002], 3, "empty_first_chunk"),  # long before the token, however short all else is
        ([0.0], 1, "opening_chunk"),  # in one heap, as is right: there is one token
        ([0.015], 1, "empty_first_chunk"),  # three quarters of the TTFT
        ([0.0, 0.002], 2, "opening_chunk"),
    ],
)
def test_a_chunk_that_opens_an_answer_is_told_by_how_long_its_first_token_takes(gaps, output_tokens, said):
    lengths = {"lengths": (128, output_tokens), "prompts": 40}
    raw = {"itls": [gaps] * 40, "latencies": [0.02 + sum(gaps)] * 40}
    of_streams = {"opening_chunk", "closing_chunk", "empty_first_chunk", "stream_bunched", "itl_per_chunk"}
    assert of_streams & set(codes(serve(**lengths, raw=raw))) == {said}


@pytest.mark.parametrize(
    ("textless", "more", "said"),
    [(40, 1, "closing_chunk"), (80, 2, "closing_chunk"), (79, 2, "empty_first_chunk"), (120, 3, "empty_first_chunk"),
     (None, 1, "empty_first_chunk"), (0, 2, "empty_first_chunk")],
)  # fmt: skip
def test_a_chunk_without_text_that_the_client_heard_at_the_end_closes_an_answer_however_late_it_comes(
    textless, more, said
):
    gaps = [0.002] * 63 + [0.004] * more
    raw = {"itls": [gaps] * 40, "latencies": [0.02 + sum(gaps)] * 40}
    noted = {**SOUND.conditions.client.model_dump(), "textless_ends": textless}
    found = set(codes(serve(prompts=40, raw=raw, conditions={"client": noted})))
    assert found & {"opening_chunk", "closing_chunk", "empty_first_chunk"} == {said}


@pytest.mark.parametrize(("first_s", "said"), [(0.05, "empty_first_chunk"), (0.003, "closing_chunk")])
def test_a_chunk_that_waits_for_its_token_opens_an_answer_even_where_the_last_one_has_no_text(first_s, said):
    gaps = [first_s] + [0.002] * 63
    raw = {"itls": [gaps] * 40, "latencies": [0.02 + sum(gaps)] * 40}
    noted = {**SOUND.conditions.client.model_dump(), "textless_ends": 40}
    found = set(codes(serve(prompts=40, raw=raw, conditions={"client": noted})))
    assert found & {"opening_chunk", "closing_chunk", "empty_first_chunk"} == {said}


def test_guessing_ahead_is_doubted_for_random_tokens_and_not_for_text_whatever_its_lengths():
    guessing = {"argv": [*COMMAND, "--speculative-config", '{"method": "ngram"}']}
    for lengths in ((128, 64), (16, 512), (1024, 8)):
        measured = serve(lengths=lengths, host=guessing)
        assert "speculation_unlike_text" in codes(measured)
        for made_of in ("text", None):
            asked = measured.asked.model_copy(update={"made_of": made_of})
            assert "speculation_unlike_text" not in codes(replace(measured, asked=asked))
    for keys, made_of in (
        ({"lengths": [128, 64]}, "random tokens"),
        ({"lengths": [128, 64], "text": "corpus.txt"}, "text"),
        ({"dataset": "sharegpt", "path": "chat.json"}, "text"),
        ({"dataset": "burstgpt", "path": "burst.csv"}, "random tokens"),
        ({"trace": "mooncake.jsonl"}, "random tokens"),
        ({"conversations": {"path": "talks.jsonl"}}, "text"),
    ):
        assert RequestSet(**keys).facts.asked(8).made_of == made_of


def test_turns_that_wait_for_answers_are_neither_slow_to_be_sent_nor_queued():
    for cap, prompts, rate, code in ((7, 400, 50.0, "rate_not_reached"), (2, 100, 200.0, "client_queue_dominates")):
        alone = serve(cap=cap, rate=rate, prompts=prompts)
        in_turns = replace(alone, asked=alone.asked.model_copy(update={"in_turns": True}))
        assert code in codes(alone) and code not in codes(in_turns)
