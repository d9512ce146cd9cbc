"""Warmth: is the number of a server that is warm, but no warmer than designed?"""

from __future__ import annotations

import re
import statistics

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured
from benchbook.records.record import Reason

MAX_HIT_SHARE = 0.01  # of the prompt tokens looked up; the random data set's prompts share no block
SLOW_RATIO, SLOW_S = 5.0, 0.5
SLOW_ITERATION_RATIO = 1.3  # an iteration does the very work of the one before

# vLLM's own words: its JIT monitor, torch.compile, graph capture, autotuning.
COMPILE_LINE = re.compile(
    r"during inference:|Starting torch\.compile|torch\.compile took|Compiling a graph|Capturing .*(?:graph|model)"
    r"|Graph capturing|[Aa]utotun(?:e|ing)(?! cache| because)|Compile and warming up model|Dynamo bytecode transform"
)


def cache_warm(measured: Measured) -> Reason | None:
    """Suspect when the prefix cache answered for prompts that it cannot know by design."""
    counters = measured.host.get("counters") or {}
    queries = counters.get("vllm:prefix_cache_queries_total") or 0.0
    hits = counters.get("vllm:prefix_cache_hits_total") or 0.0
    if not queries or hits <= MAX_HIT_SHARE * queries:
        return None
    return reason(
        "cache_warm", f"{hits:,.0f} of {queries:,.0f} prompt tokens ({hits / queries:.0%}) came from the prefix cache"
    )


def warmup_too_small(measured: Measured) -> Reason | None:
    """Suspect when warming up was left out, or never reached the concurrency measured."""
    workload = measured.workload
    needed, sent = {
        "serve": (workload.get("max_concurrency") or 1, measured.conditions.get("warmup_prompts")),
        "throughput": (1, workload.get("num_warmup_prompts")),
        "latency": (1, workload.get("num_iters_warmup")),
    }.get(measured.benchmark, (0, None))
    if sent is None or sent >= min(needed, workload.get("num_prompts", needed)):
        return None
    what = "iterations" if measured.benchmark == "latency" else "prompts"
    return reason("warmup_too_small", f"warmed up with {sent} {what}, at least {needed} were needed")


def compiled_while_measuring(measured: Measured) -> Reason | None:
    """Suspect when the server's log tells of compiling or capturing between the first send and the last answer."""
    lines = measured.conditions.get("compile_lines") or []
    if not lines:
        return None
    return reason("compiled_while_measuring", f"{len(lines)} lines of the server's log, the first: {lines[0][:200]}")


def first_requests_slow(measured: Measured) -> Reason | None:
    """Suspect when all of what came first had to wait for something, such as a kernel's compilation.

    In a start burst the fastest request waits for one step, at worst for a prefill of the whole wave; only what exceeds
    that is called slow. In latency mode it is the first iteration against the median of the rest.
    """
    if measured.benchmark == "latency":
        times_s, wave, what = list(measured.raw.get("latencies", [])), 1, "iteration"
        ratio, least = SLOW_ITERATION_RATIO, 2
    else:
        times_s, what = [answer.ttft_s for answer in measured.answers], "TTFT of the first requests"
        wave = measured.workload.get("max_concurrency") or 1
        ratio, least = max(SLOW_RATIO, wave), 3
    first, later = times_s[:wave], times_s[wave:]
    if len(later) < least:
        return None
    fastest_s, usual_s = min(first), statistics.median(later)
    if fastest_s <= ratio * usual_s or fastest_s - usual_s <= SLOW_S:
        return None
    return reason(
        "first_requests_slow",
        f"the fastest {what} took {fastest_s * 1000:.0f} ms, the median of the later ones is {usual_s * 1000:.0f} ms",
    )


CHECKS: tuple[Check, ...] = (cache_warm, warmup_too_small, compiled_while_measuring, first_requests_slow)
