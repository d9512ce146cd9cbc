"""The metric that a case is compared by first: its benchmark's headline, chosen before any result was seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchbook.terms.benchmarks import BENCHMARKS

# An open loop's throughput is the rate it was offered, whatever the launch does; its latency answers.
OPEN_LOOP_HEADLINE = "mean_e2el_ms"


def headline_of(benchmark: str, workload: Mapping[str, Any]) -> str | None:
    """Return the headline metric of a case; a single first request has none."""
    if workload.get("request_rate_rps") is not None:
        return OPEN_LOOP_HEADLINE
    return BENCHMARKS[benchmark].headline
