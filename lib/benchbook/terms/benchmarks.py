"""Every benchmark as a row of facts: what it is called, where it runs, what is shown of it and what it is compared by.

What a benchmark does (its command, its measuring call, its accounting, its figure, its reading) is in registries by name,
each of which a test holds to be whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

HostKind = Literal["server", "engine"]  # online through `vllm serve`, offline through a loaded `LLM`
HOST_KINDS: tuple[HostKind, ...] = ("server", "engine")
_LENGTHS = ("input_len_tokens", "output_len_tokens")


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One kind of measurement. Metrics are keys of METRICS; the others are keys of a workload."""

    name: str
    title: str  # of its table
    host_kind: HostKind
    notebook: str
    # What launches are compared by was chosen once, before any result was seen: who picks the metric after looking finds
    # a difference in equal launches.
    headline: str | None  # None: no launch is called better by it
    others: tuple[str, ...]  # compared as well
    spread_by: tuple[str, ...]  # what repeats of one case are compared by
    columns: tuple[str, ...]  # of its table
    load: str | None  # the key of a workload that a curve runs along; None: it has no load
    samples: str | None  # the metric or key that says how many samples its percentiles rest on; None: it has none
    needed: tuple[str, ...]  # keys without which a record of it cannot be read
    same_if: tuple[str, ...]  # keys that must agree before two numbers stand side by side


SERVE = Benchmark(
    name="serve",
    title="Serving (vllm bench serve)",
    host_kind="server",
    notebook="03_bench_serve.ipynb",
    headline="output_throughput_tok_s",
    others=(
        "output_throughput_tok_s",
        "request_goodput_rps",
        "median_ttft_ms",
        "p99_ttft_ms",
        "median_tpot_ms",
        "p99_tpot_ms",
        "mean_e2el_ms",
    ),
    spread_by=("output_throughput_tok_s", "median_e2el_ms"),
    columns=(
        "output_throughput_tok_s",
        "total_throughput_tok_s",
        "request_goodput_rps",
        "median_ttft_ms",
        "p99_ttft_ms",
        "median_tpot_ms",
        "p99_tpot_ms",
        "mean_e2el_ms",
    ),
    load="max_concurrency",
    samples="completed",
    needed=(*_LENGTHS, "num_prompts"),
    same_if=(*_LENGTHS, "max_concurrency", "request_rate_rps"),
)
LATENCY = Benchmark(
    name="latency",
    title="Latency of one batch (vllm bench latency)",
    host_kind="engine",
    notebook="04_bench_latency.ipynb",
    headline="avg_batch_latency_s",
    others=("p50_batch_latency_s", "p90_batch_latency_s"),
    spread_by=("avg_batch_latency_s",),
    columns=("avg_batch_latency_s", "p50_batch_latency_s", "p90_batch_latency_s"),
    load="batch_size",
    samples="num_iters",
    needed=(*_LENGTHS, "batch_size"),
    same_if=(*_LENGTHS, "batch_size"),
)
THROUGHPUT = Benchmark(
    name="throughput",
    title="Throughput mode (vllm bench throughput)",
    host_kind="engine",
    notebook="05_bench_throughput.ipynb",
    headline="output_throughput_tok_s",
    others=(),  # the other rates are the headline times a constant
    spread_by=("output_throughput_tok_s",),
    columns=("output_throughput_tok_s", "total_throughput_tok_s", "request_throughput_rps"),
    load="num_prompts",
    samples=None,
    needed=(*_LENGTHS, "num_prompts"),
    same_if=_LENGTHS,
)
FIRST_REQUEST = Benchmark(
    name="first_request",
    title="First request",
    host_kind="server",
    notebook="02_first_request.ipynb",
    headline=None,
    others=("ttft_ms", "e2el_ms"),
    spread_by=(),
    columns=("ttft_ms", "e2el_ms", "total_input_tokens", "total_output_tokens"),
    load=None,
    samples=None,
    needed=(),
    same_if=("prompt", "max_tokens"),
)

BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark for benchmark in (SERVE, LATENCY, THROUGHPUT, FIRST_REQUEST)
}
# An answer rests on the first of these that was measured.
LEADING = tuple(benchmark.name for benchmark in (SERVE, THROUGHPUT, LATENCY, FIRST_REQUEST))
