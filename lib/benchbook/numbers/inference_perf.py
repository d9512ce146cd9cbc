"""A stage of inference-perf as its client saw it, in seconds; what its file of Prometheus' tells is the server's view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchbook.numbers.figures import Figures, Told, length
from benchbook.numbers.statistics import latencies
from benchbook.numbers.vllm import without_nulls, without_zeros
from benchbook.terms.errors import StoreError

_KINDS = {
    "ttft": "successes.latency.time_to_first_token",
    "tpot": "successes.latency.time_per_output_token",
    "itl": "successes.latency.inter_token_latency",
    "e2el": "successes.latency.request_latency",
}
_STATISTICS = {"mean": "mean", "median": "median", "p90": "p90", "p95": "p95", "p99": "p99"}
_RATES = {
    "request_throughput_rps": "successes.throughput.requests_per_sec",
    "output_throughput_tok_s": "successes.throughput.output_tokens_per_sec",
    "total_throughput_tok_s": "successes.throughput.total_tokens_per_sec",
}


def is_stage(told: Mapping[str, Any]) -> bool:
    """Return whether this is a stage's file, of either view."""
    return "load_summary" in told and "successes" in told


def stage(told: Told) -> Figures:
    """Return what the client of a stage tells; StoreError for the server's view of it."""
    if told.value("successes.latency") is None and told.value("successes.request_latency") is not None:
        raise StoreError(
            f"{told.where}: successes.request_latency is a stage as the server's metrics saw it, other requests in another "
            "window than the client's: import the stage's lifecycle file"
        )
    delay_s, completed = told.number("load_summary.schedule_delay.p99"), told.count("successes.count")
    lengths = {
        "mean_input_tokens": told.number("successes.prompt_len.mean"),
        "mean_output_tokens": told.number("successes.output_len.mean"),
    }
    rate, _ = told.rate("load_summary.requested_rate")
    asked = {"num_prompts": told.positive("load_summary.count"), "request_rate_rps": rate}
    asked |= {"max_concurrency": told.positive("load_summary.concurrency")}
    values = {
        **latencies(told, _KINDS, _STATISTICS, dict.fromkeys(_KINDS, 3)),
        **{key: told.number(path) for key, path in _RATES.items()},
        "completed": completed,
        "failed": told.count("failures.count"),
    }
    sent = {"rate_rps": told.number("load_summary.achieved_rate"), "late_p99_ms": delay_s and delay_s * 1000}
    return Figures(
        told.where,
        "inference-perf",
        without_zeros(values),
        workload=without_nulls({**asked, **{key: length(value) for key, value in lengths.items()}}),
        sent=without_nulls(sent),
        notes=("its latencies are in seconds; how long it took is not told",),
    )
