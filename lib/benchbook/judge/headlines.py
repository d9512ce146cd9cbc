"""Which metrics are compared between launches: one headline a benchmark, and the others.

Chosen once, here, before any result is seen: who picks the metric after looking finds a difference in equal launches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADLINES = {
    "serve": "output_throughput_tok_s",
    "latency": "avg_batch_latency_s",
    "throughput": "output_throughput_tok_s",
}
# An open loop's throughput is the rate it was offered, whatever the launch does; its latency answers.
OPEN_LOOP_HEADLINE = "mean_e2el_ms"
OTHERS = {
    "serve": (
        "output_throughput_tok_s",
        "request_goodput_rps",
        "median_ttft_ms",
        "p99_ttft_ms",
        "median_tpot_ms",
        "p99_tpot_ms",
        "mean_e2el_ms",
    ),
    "latency": ("p50_batch_latency_s", "p90_batch_latency_s"),
    "throughput": (),  # the other rates are this one times a constant
    "first_request": ("ttft_ms", "e2el_ms"),
}


def headline_of(benchmark: str, workload: Mapping[str, Any]) -> str | None:
    """Return the headline metric of a case; a single first request has none."""
    if benchmark == "serve" and workload.get("request_rate_rps") is not None:
        return OPEN_LOOP_HEADLINE
    return HEADLINES.get(benchmark)
