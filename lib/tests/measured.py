"""Measurements for the tests of checks: a closed or open loop computed request by request, and what was watched."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchbook.judge.evidence import Measured
from benchbook.records.conditions import Conditions
from benchbook.records.described import described
from benchbook.records.host import HostFacts
from benchbook.terms.metrics import values_from_raw

HOST = {
    "kind": "server",
    "model": "m",
    "argv": ["vllm", "serve", "m"],
    "facts": {"kv_cache_tokens": 65_536, "graph_sizes": []},
    "model_config": {"hidden_size": 8},
    "greedy_outputs": [f"{number:08x}" for number in range(32)],
    "telemetry": {"server": {"max_kv_use_ratio": 0.02}, "gpus": [], "gpu_processes": [], "absent": {"gpu": "none"}},
}
ENGINE = {**HOST, "kind": "engine", "telemetry": {**HOST["telemetry"], "server": {}}}
OFFLINE = {"machine": {"cpus": 2, "own_cpu_share": 0.9, "other_cpu_share": 0.03}, "compile_lines": []}


def measured_of(
    benchmark: str,
    workload: dict[str, Any],
    values: dict[str, Any],
    raw: dict[str, Any] | None = None,
    host: HostFacts | dict[str, Any] | None = None,
    conditions: dict[str, Any] | None = None,
) -> Measured:
    """Return a measurement of `workload`, with what it asked."""
    told = described(benchmark, workload)
    known = host if isinstance(host, HostFacts) else HostFacts(**(host or {}))
    watched = Conditions(**(conditions or {}))
    return Measured(benchmark, workload, values, raw or {}, known, watched, asked=told.asked, load=told.load)


def serve(
    *,
    cap: int | None = 4,
    prompts: int = 40,
    ttft_ms: float = 20.0,
    itl_ms: float = 2.0,
    lengths: tuple[int, int] = (128, 64),
    range_ratio: float = 0.0,  # lengths are drawn from so far around `lengths`
    rate: float | None = None,
    first_ttft_ms: float | None = None,  # of the first wave
    last_factor: float = 1.0,  # how much longer the last request takes
    noise: random.Random | None = None,  # a small busy machine: times vary, and one request in twenty is held up
    workload: dict[str, Any] | None = None,
    raw: dict[str, Any] | None = None,
    host: dict[str, Any] | None = None,
    conditions: dict[str, Any] | None = None,
) -> Measured:
    """Return a sound serving measurement; keywords bend it, `raw` and the others replace keys of what came out."""
    inputs, outputs = lengths
    draw = random.Random(prompts)
    least_and_most = ((math.ceil(mean * (1 - range_ratio)), math.floor(mean * (1 + range_ratio))) for mean in lengths)
    input_lens, output_lens = (
        [least] * prompts if least == most else [draw.randint(least, most) for _ in range(prompts)]
        for least, most in least_and_most
    )
    free_s = [0.0] * (cap or prompts)
    columns: dict[str, list[Any]] = {key: [] for key in ("start_times", "ttfts", "itls", "latencies", "queue_times")}
    for number in range(prompts):
        arrival_s = number / rate if rate else 0.0
        start_s = max(arrival_s, heapq.heappop(free_s))
        factor = last_factor if number == prompts - 1 else 1.0
        wave_ms = first_ttft_ms if first_ttft_ms is not None and number < (cap or 1) else ttft_ms
        gaps = [itl_ms * factor / 1000] * (output_lens[number] - 1)
        if noise:
            wave_ms *= noise.lognormvariate(0, 0.4)
            gaps = [gap * noise.lognormvariate(0, 0.5) for gap in gaps]
            gaps[0] += 0.1 if noise.random() < 0.05 else 0.0
        latency_s = wave_ms / 1000 + sum(gaps)
        heapq.heappush(free_s, start_s + latency_s)
        for key, value in zip(columns, (100 + start_s, wave_ms / 1000, gaps, latency_s, start_s - arrival_s)):
            columns[key].append(value)
    duration_s = max(start + latency for start, latency in zip(columns["start_times"], columns["latencies"])) - 100
    mean_s = sum(columns["latencies"]) / prompts
    found = {
        **columns,
        "completed": prompts,
        "failed": 0,
        "duration": duration_s,
        "total_input_tokens": sum(input_lens),
        "total_output_tokens": sum(output_lens),
        "input_lens": input_lens,
        "output_lens": output_lens,
        "errors": [""] * prompts,
        "request_throughput": prompts / duration_s,
        "output_throughput": sum(output_lens) / duration_s,
        "mean_e2el_ms": mean_s * 1000,
        **(raw or {}),
    }
    asked = {
        "input_len_tokens": inputs,
        "output_len_tokens": outputs,
        "num_prompts": prompts,
        "max_concurrency": cap,
        "request_rate_rps": rate,
        "burstiness": 1.0,
        "range_ratio": range_ratio,
        **(workload or {}),
    }
    counters = {
        "prompt_tokens": sum(input_lens),
        "generation_tokens": sum(output_lens),
        "prefix_cache_queries": sum(input_lens),
        "prefix_cache_hits": 0.0,
        "preemptions": 0.0,
        "requests_ended_by_length": prompts,
        "requests_ended_by_stop": 0.0,
    }
    watched = {
        "machine": {"cpus": 2, "own_cpu_share": 0.7, "other_cpu_share": 0.03},
        "limits": {"open_files": 1024, "ports": 28_232},
        "client": {
            "cpu_cores": 0.3,
            "loop_lag_median_ms": 1.2,
            "chunks_per_s": 900.0,
            "ceiling_chunks_per_s": 9000.0,
            "cut_answers": [],
        },
        "compile_lines": [],
        "counters_went_back": [],
        "engine_tokens": {"0": float(sum(output_lens))},
        "kv_usage_max_pct": None,
        "warmup_prompts": cap or 1,
        **(conditions or {}),
    }
    full_host = {**HOST, **(host or {})}
    full_host["counters"] = {**counters, **full_host.get("counters", {})}
    return measured_of("serve", asked, values_from_raw("serve", found), found, full_host, watched)


def with_pace(measured: Measured, pace: Callable[[float], float]) -> Measured:
    """Return `measured` with each gap times what `pace` says of the share of the window that has passed by then."""
    raw = dict(measured.raw)
    window_s = measured.window_s
    raw["itls"] = [
        [gap * pace((start - 100 + at * gap) / window_s) for at, gap in enumerate(gaps)]
        for start, gaps in zip(raw["start_times"], raw["itls"])
    ]
    raw["latencies"] = [ttft + sum(gaps) for ttft, gaps in zip(raw["ttfts"], raw["itls"])]
    raw.pop("duration")
    return replace(measured, raw=raw)


def latency(times_s: list[float] | None = None, **workload: Any) -> Measured:
    """Return a latency-mode measurement of these iterations."""
    times_s = times_s or [0.2] * 30
    asked = {
        "input_len_tokens": 128,
        "output_len_tokens": 64,
        "batch_size": 1,
        "num_iters": len(times_s),
        "num_iters_warmup": 10,
        **workload,
    }
    raw = {"latencies": times_s, "avg_latency": sum(times_s) / len(times_s)}
    return measured_of("latency", asked, values_from_raw("latency", raw), raw, ENGINE, OFFLINE)


def throughput(**workload: Any) -> Measured:
    """Return a sound throughput-mode measurement."""
    asked = {"input_len_tokens": 128, "output_len_tokens": 64, "num_prompts": 200, **workload}
    raw = {"num_requests": 200, "printed": {"total_input_tokens": 25_600, "total_output_tokens": 12_800}}
    return measured_of("throughput", asked, values_from_raw("throughput", raw), raw, ENGINE, OFFLINE)
