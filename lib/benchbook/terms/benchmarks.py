"""Every benchmark as a row of facts: what it is called, where it runs, what is shown of it and what it is compared by.

What a benchmark does is in registries by name, each of which a test holds to be whole: its workload (plan/workloads.py),
its command (measure/argv.py), its measuring call (measure/calls.py), its accounting (judge/accounting.py), its figures and
its reading (report/shown.py). Nothing else asks for a benchmark by its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

HostKind = Literal["server", "engine"]  # online through `vllm serve`, offline through a loaded `LLM`
HOST_KINDS: tuple[HostKind, ...] = get_args(HostKind)
Role = Literal["curve", "floor", "ceiling"]  # serving under load; what no latency of it, and no throughput, can pass
Bound = Literal["step", "ttft", "output_throughput", "batch_latency"]  # what the roofline bounds, see judge/binding.py
_RATES = ("request_throughput_rps", "output_throughput_tok_s", "total_throughput_tok_s")
_TOKENS = ("total_input_tokens", "total_output_tokens")
_OF_REQUESTS = tuple(
    f"{statistic}_{latency}_ms"
    for latency in ("ttft", "tpot", "itl", "e2el")
    for statistic in ("mean", "median", "std", "p90", "p95", "p99")
)
_OF_A_SERVER = (
    "spec_acceptance_pct",
    "spec_acceptance_length_tok",
    "mean_chunk_tok",
    "prefix_hit_pct",
    "cached_tokens",
    "mean_client_queue_ms",
    "mean_server_queue_ms",
    "mean_server_prefill_ms",
    "mean_server_decode_ms",
    "mean_server_ttft_ms",
)
_OF_BATCHES = tuple(f"{statistic}_batch_latency_s" for statistic in ("avg", "p10", "p25", "p50", "p75", "p90", "p99"))


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One kind of measurement. Metrics are keys of METRICS; the others are keys of a workload."""

    name: str
    title: str  # of its table
    mode: str  # as the subject of a sentence or a heading: "Throughput mode"
    host_kind: HostKind
    notebook: str  # in notebooks/, or anywhere else by its full path
    fixed_s: tuple[float, float]  # what a repeat takes besides its work, as measured on two cores and beside an H200

    metrics: tuple[str, ...]  # all that it can have
    # What launches are compared by was chosen once, before any result was seen: who picks the metric after looking finds
    # a difference in equal launches.
    headline: str | None  # None: no launch is called better by it
    others: tuple[str, ...]  # compared as well
    spread_by: tuple[str, ...]  # what repeats of one case are compared by
    columns: tuple[str, ...]  # of its table

    is_load: bool = True  # drawn prompts, enough to tell a speed; False: it tells whether something works
    load: str | None  # the key of a workload that a curve runs along; None: it has no load
    load_heading: str = ""  # of a column with its values
    load_text: str = ""  # one value as people say it: "a batch of {}"
    queues: bool = False  # what does not fit at once waits, as is meant
    times: Literal["requests", "iterations"] | None = None  # what its raw file tells of one by one; None: of nothing
    samples: str | None  # the metric or key that says how many samples its percentiles rest on; None: it has none
    warmup: str | None = None  # the key, of a workload or of what was watched, with how many it was warmed up
    warms_itself: bool = False  # each repeat anew, whatever the host was warmed up for

    rank: int  # an answer rests on the lowest that was measured
    role: Role | None = None  # of it beside others of the same launch and lengths; None: it is compared with none
    bounds: tuple[Bound, ...] = ()  # of the roofline; the last is what a case's share of its limit is of
    needed: tuple[str, ...]  # keys without which a record of it cannot be read
    same_if: tuple[str, ...]  # keys that must agree, as curves must, before two numbers stand side by side


SERVE = Benchmark(
    name="serve",
    title="Serving (vllm bench serve)",
    mode="Serving",
    host_kind="server",
    notebook="03_bench_serve.ipynb",
    fixed_s=(2.0, 8.0),
    metrics=(
        *_RATES,
        "request_goodput_rps",
        *_OF_REQUESTS,
        "duration_s",
        "completed",
        "failed",
        *_TOKENS,
        *_OF_A_SERVER,
    ),
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
        "spec_acceptance_pct",
        "spec_acceptance_length_tok",
        "prefix_hit_pct",
        "mean_client_queue_ms",
    ),
    load="max_concurrency",
    load_heading="In flight",
    load_text="{} in flight",
    times="requests",
    samples="completed",
    warmup="warmup_prompts",
    rank=0,
    role="curve",
    bounds=("step", "ttft", "output_throughput"),
    needed=("num_prompts",),
    same_if=("max_concurrency", "request_rate_rps"),
)
LATENCY = Benchmark(
    name="latency",
    title="Latency of one batch (vllm bench latency)",
    mode="One offline batch",
    host_kind="engine",
    notebook="04_bench_latency.ipynb",
    fixed_s=(1.0, 4.0),
    metrics=_OF_BATCHES,
    headline="avg_batch_latency_s",
    others=("p50_batch_latency_s", "p90_batch_latency_s"),
    spread_by=("avg_batch_latency_s",),
    columns=("avg_batch_latency_s", "p50_batch_latency_s", "p90_batch_latency_s"),
    load="batch_size",
    load_heading="Batch size",
    load_text="a batch of {}",
    times="iterations",
    samples="num_iters",
    warmup="num_iters_warmup",
    warms_itself=True,
    rank=2,
    role="floor",
    bounds=("batch_latency",),
    needed=("batch_size",),
    same_if=("batch_size",),
)
THROUGHPUT = Benchmark(
    name="throughput",
    title="Throughput mode (vllm bench throughput)",
    mode="Throughput mode",
    host_kind="engine",
    notebook="05_bench_throughput.ipynb",
    fixed_s=(1.0, 8.0),
    metrics=(*_RATES, "duration_s", "completed", *_TOKENS, "prefix_hit_pct", "cached_tokens"),
    headline="output_throughput_tok_s",
    others=(),  # the other rates are the headline times a constant
    spread_by=("output_throughput_tok_s",),
    columns=("output_throughput_tok_s", "total_throughput_tok_s", "request_throughput_rps", "prefix_hit_pct"),
    load="num_prompts",
    load_heading="Prompts",
    load_text="{} prompts at once",
    queues=True,
    samples=None,
    warmup="num_warmup_prompts",
    rank=1,
    role="ceiling",
    bounds=("output_throughput",),
    needed=("num_prompts",),
    same_if=(),
)
FIRST_REQUEST = Benchmark(
    name="first_request",
    title="First request",
    mode="The first request",
    host_kind="server",
    notebook="02_first_request.ipynb",
    fixed_s=(2.0, 3.0),
    metrics=("ttft_ms", "e2el_ms", *_TOKENS),
    headline=None,
    others=("ttft_ms", "e2el_ms"),
    spread_by=(),
    columns=("ttft_ms", "e2el_ms", "total_input_tokens", "total_output_tokens"),
    is_load=False,
    load=None,
    samples=None,
    rank=3,
    needed=(),
    same_if=("prompt", "max_tokens"),
)

BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark for benchmark in (SERVE, LATENCY, THROUGHPUT, FIRST_REQUEST)
}


def leading() -> list[str]:
    """Return all names, the one that an answer rests on first."""
    return sorted(BENCHMARKS, key=lambda name: BENCHMARKS[name].rank)


def with_role(role: Role) -> list[str]:
    """Return the names of the benchmarks of this role."""
    return [name for name, benchmark in BENCHMARKS.items() if benchmark.role == role]
