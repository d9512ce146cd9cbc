"""Situations that were once judged wrongly, each in a sentence: dirty ones that passed for VALID, clean ones accused.

Each dirty situation has the code that must find it; each clean one a dirty twin, which must still be found.
"""

import random
from dataclasses import replace

import pytest
from benchbook.hosts.vllm.counters import COMPILE_LINE
from benchbook.judge.catalogue import BY_CODE
from benchbook.judge.checks import record_reasons
from benchbook.judge.evidence import Measured
from benchbook.judge.group import judged_together
from benchbook.judge.telemetry_summary import telemetry_summary
from benchbook.judge.unseen import not_looked
from benchbook.records.conditions import Conditions
from benchbook.records.host import HostFacts
from benchbook.records.record import Verdict, verdict_of
from measured import latency, serve
from shapes import GPT_OSS_120B, LLAMA_8B
from test_checks import growing, halved, heaped, random_prompts, standing_still
from test_coherence import alone, served
from test_group_checks import record, series
from test_judge_telemetry import RAW, gpu, samples

NOWHERE = 2**22  # a pid above the kernel's highest, as of another container


def reasons(situation):
    """Return what is said of a measurement, or of the records of a run, together."""
    if isinstance(situation, Measured):
        return list(record_reasons(situation))
    return [reason for judged in judged_together(situation) for reason in judged.reasons]


def on_gpu(*processes, **columns):
    """Return a measurement on a GPU with these columns of samples and these processes, all there all the time."""
    seen = [{"gpu": 0, "name": "x", "first_s": 0.0, "last_s": 5.0, **process} for process in processes]
    summary = telemetry_summary(samples([{**gpu(), **columns}], seen), RAW)
    return serve(host={"telemetry": summary})


def clocked(mhz):
    return on_gpu(OURS, sm_clock_mhz=[mhz] * 6, utilisation_pct=[90] * 6, throttle=[""] * 6, highest_sm_clock_mhz=1980)


def computed(kind, pid, percent):
    """Return a process on the GPU that computed so much of the time, as the driver saw it; 0: nothing."""
    return {
        "kind": kind,
        "pid": pid,
        **({"busy_pct": percent, "first_busy_s": 1.5, "last_busy_s": 3.5} if percent else {}),
    }


def throttled(number, of):
    """Return a measurement of `of` samples of which so many tell that heat lowered the clocks."""
    card = {"index": 0, "name": "x", "samples": of, "throttled_share": {"thermal_software": number / of}}
    return serve(host={"telemetry": {"gpus": [card], "gpu_processes": []}})


def in_kv_cache(config):
    """Return 32 requests of 5,120 tokens on a card whose log tells of a cache of 119,659 tokens."""
    host = {"facts": {"kv_cache_tokens": 119_659}, "model_config": config}
    return serve(cap=32, prompts=320, lengths=(4096, 1024), host=host)


def beside(other, own, cpus=128):
    return serve(conditions={"machine": {"cpus": cpus, "own_cpu_share": own, "other_cpu_share": other}})


def many(cap):
    """Return a load of so many in flight on a server with room for all of them, where 1,024 files may be open."""
    return serve(cap=cap, prompts=5 * cap, host={"facts": {"kv_cache_tokens": 1_000_000}})


def late(lag_ms, ttft_ms):
    return serve(conditions={"client": {"loop_lag_median_ms": lag_ms}}, raw={"median_ttft_ms": ttft_ms})


def reading(cores, lag_ms):
    client = {"cpu_cores": cores, "loop_lag_median_ms": lag_ms}
    return serve(conditions={"client": {**client, "chunks_per_s": 7300.0, "ceiling_chunks_per_s": 13_000.0}})


def drawn(ratio, *lengths):
    """Return a load whose answers have these lengths, by an attached server that counts nothing."""
    return replace(
        serve(
            workload={"range_ratio": ratio}, raw={"output_lens": list(lengths)}, conditions={"unseen": {"log": "far"}}
        ),
        host={"kind": "attached"},
    )


def on_starts(spread, starts=4, seed=0):
    """Return the repeats of a case, each on a start of its own; starts vary by `spread`."""
    draw = random.Random(seed)
    return [
        record(number, value=1000 * draw.lognormvariate(0, spread), ready=f"{number:02d}:00")
        for number in range(starts)
    ]


OURS = computed("ours", 7, 90)
ATTACHED = replace(
    serve(), host=HostFacts(kind="attached"), conditions=Conditions(unseen={"log": "not ours", "counters": "404"})
)

DIRTY = (
    ("a server that answers 8.3 requests a second is sent 10, 600 in all", growing(600), "overloaded"),
    ("the same with 2,000 requests", growing(2000), "overloaded"),
    ("a server that answers 3.7 requests a second is sent 20, 60 in all", growing(60, 20.0, 3.7), "overloaded"),
    ("a server is sent 10 % more than it can answer", growing(600, 10.0, 9.1), "overloaded"),
    ("a server stands still for 8 s of 50", standing_still(prompts=1150), "server_stalled"),
    ("the speed halves in the second half of the window", halved(), "speed_shifted"),
    (
        "requests are sent at 70 % of the rate asked for",
        serve(cap=None, rate=7.0, prompts=80, workload={"request_rate_rps": 10.0}),
        "rate_not_reached",
    ),
    (
        "and at 40 % of it, 20 in all",
        serve(cap=None, rate=4.0, prompts=20, workload={"request_rate_rps": 10.0}),
        "rate_not_reached",
    ),
    ("the clock of a GPU is locked at 1,000 of 1,980 MHz", clocked(1000), "clocks_low"),
    ("two repeats are 100 and 150", series(100, 150), "repeats_disagree"),
    ("three repeats are 100, 150 and 170", series(100, 150, 170), "repeats_disagree"),
    ("four repeats fall by 30 %", series(100, 90, 80, 70), "repeats_disagree"),
    ("eight repeats fall by 9 %", series(1000, 990, 975, 965, 950, 935, 925, 910), "repeats_trend"),
    ("24 of 128 processors are taken from an engine that computes on all", beside(24 / 128, 0.8), "machine_busy"),
    ("the client reads 24 ms late, and TTFT is 30 ms", late(24.0, 30.0), "client_saturated"),
    ("a twentieth of the streams is cut, where lengths are drawn", drawn(0.5, *[64] * 38, 20, 12), "outputs_short"),
    (
        "a neighbour in another container computes on the GPU",
        on_gpu(computed("unseen", NOWHERE, 50), computed("unseen", NOWHERE + 1, 50)),
        "gpu_shared",
    ),
    (
        "64 are in flight, of which the server runs 8",
        serve(cap=64, prompts=640, host={"argv": ["vllm", "serve", "m", "--max-num-seqs", "8"]}),
        "max_num_seqs_low",
    ),
    (
        "iterations of one batch grow to twice their time",
        latency([0.2 + 0.2 * i / 29 for i in range(30)]),
        "iterations_unsteady",
    ),
    ("iterations of one batch have two times", latency([0.2, 0.3] * 15), "iterations_unsteady"),
    ("the first of three iterations takes 0.45 s, the others 0.2", latency([0.45, 0.2, 0.2]), "first_requests_slow"),
    ("four of 100 answers came in one heap", heaped(4, 64), "stream_bunched"),
    ("seven of 778 prompts were sent before, and not by chance", random_prompts(201_088, 0, 778, 7), "cache_warm"),
    ("30 requests of 1.5 s arrive at 10 a second", serve(cap=None, rate=10.0, prompts=30, itl_ms=23.0), "too_short"),
    ("one request of 30 s is a whole window", serve(cap=1, prompts=1, lengths=(128, 15_000)), "too_short"),
)  # fmt: skip

# (the situation, what was said of it, the same with something that is truly wrong)
CLEAN = (
    ("one in flight, three prompts", serve(cap=1, prompts=3), "too_short", serve(cap=1, prompts=2)),
    ("sliding layers keep no more than their window", in_kv_cache(GPT_OSS_120B), "kv_exhausted", in_kv_cache(LLAMA_8B)),
    ("500 in flight, where 1,024 files may be open", many(500), "limits_low", many(960)),
    ("7,300 chunks a second at a third of a core", reading(0.36, 0.7), "client_saturated", reading(0.95, 0.7)),
    (
        "another process holds a context on the GPU, and computes nothing",
        on_gpu(OURS, computed("foreign", 8, 0)),
        "gpu_shared",
        on_gpu(OURS, computed("foreign", 8, 20)),
    ),
    ("one of ten samples tells of heat", throttled(1, of=10), "gpu_throttled", throttled(2, of=10)),
    ("21 % of 128 processors are busy beside a GPU's server", beside(0.21, 0.03), "machine_busy", beside(0.21, 0.75)),
    (
        "vLLM's random prompts begin alike by chance",
        random_prompts(16_384, 0, 400),
        "cache_warm",
        random_prompts(16_384, 0, 400, same_as=40),
    ),
    (
        "HTTP adds 0.45 ms to a token of 0.8",
        [alone(0.0704), served(1, 200.0, tpot_ms=1.25)],
        "tpot_contradicts_latency",
        [alone(0.0704), served(1, 200.0, tpot_ms=2.5)],
    ),
    ("starts vary by 8 %", on_starts(0.08), "repeat_outlier", series(1000, 1005, 995, 700, 1002)),
    ("starts vary by 12 %", on_starts(0.12), "repeat_outlier", series(1000, 1005, 995, 700, 1002)),
    ("starts vary by 20 %", on_starts(0.20), "repeats_disagree", series(1000, 1600)),
)  # fmt: skip

# Judged rightly before, and to stay so.
SOUND = (
    ("answers of one token", serve(lengths=(128, 1))),
    ("answers of two tokens", serve(lengths=(128, 2))),
    ("a token a millisecond", serve(itl_ms=1.0)),
    ("a request every two seconds", serve(cap=None, rate=0.5, prompts=20)),
    ("lengths drawn within a half", serve(cap=8, prompts=120, range_ratio=0.5)),
    ("lengths drawn within nine tenths", serve(cap=8, prompts=120, range_ratio=0.9)),
)


@pytest.mark.parametrize(("what", "situation", "code"), DIRTY, ids=[what for what, _, _ in DIRTY])
def test_what_is_wrong_is_not_valid(what, situation, code):
    assert code in {reason.code for reason in reasons(situation)}
    assert BY_CODE[code].severity != "note"


@pytest.mark.parametrize(("what", "situation", "code", "twin"), CLEAN, ids=[what for what, *_ in CLEAN])
def test_what_is_clean_is_not_accused_and_its_dirty_twin_still_is(what, situation, code, twin):
    found = reasons(situation)
    assert code not in {reason.code for reason in found}
    assert verdict_of(tuple(found)) is Verdict.VALID, found
    assert code in {reason.code for reason in reasons(twin)}


@pytest.mark.parametrize(("what", "situation"), SOUND, ids=[what for what, _ in SOUND])
def test_what_was_judged_rightly_is_so_still(what, situation):
    found = reasons(situation)
    assert verdict_of(tuple(found)) is Verdict.VALID, found


@pytest.mark.parametrize("ratio", [0.5, 0.9])
def test_lengths_that_are_drawn_are_accused_of_nothing(ratio):
    for number in range(100):
        load = serve(cap=8, prompts=100 + number, range_ratio=ratio, noise=random.Random(number))
        assert verdict_of(tuple(reasons(load))) is Verdict.VALID, (number, reasons(load))


def test_of_a_server_of_which_nothing_was_to_be_seen_a_verdict_says_so():
    unseen = not_looked(ATTACHED)
    assert verdict_of(tuple(reasons(ATTACHED))) is Verdict.VALID and len(unseen) > 10
    assert {"compiled_while_measuring", "preempted", "cache_warm", "gpu_shared", "machine_busy"} <= set(unseen)


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-24 12:24:22,992 - INFO - flashinfer.jit: Loading JIT ops: batch_prefill_with_kv_cache_dtype_q_bf16",
        "[aiter] start build [module_moe_ck2stages] under /usr/lib/aiter/jit/build/module_moe_ck2stages",
        "DeepGEMM warmup:  40%|####      | 1152/2880 [00:12<00:18, 95.11it/s]",
        "2026-11-24 06:00:43  [TileLang:tilelang.jit.kernel:INFO]: TileLang begins to compile kernel `main`",
        "AUTOTUNE mm(64x2880, 2880x5120)",
        "W1124 torch/_dynamo/convert_frame.py:1995] [0/8] torch._dynamo hit config.recompile_limit (8)",
        "WARNING 11-24 [jit_monitor.py:140] Triton kernel JIT compilation during inference: _fwd (x). This causes",
    ],
)
def test_whatever_compiles_a_kernel_is_known_by_its_line(line):
    assert COMPILE_LINE.search(line)
