"""The metric that a case is compared by first: its benchmark's headline, chosen before any result was seen."""

from __future__ import annotations

from benchbook.terms.asked import Offered
from benchbook.terms.benchmarks import BENCHMARKS

# An open loop's throughput is the rate it was offered, whatever the launch does; its latency answers.
OPEN_LOOP_HEADLINE = "mean_e2el_ms"


def headline_of(benchmark: str, load: Offered | None) -> str | None:
    """Return the headline metric of a case; a single first request has none."""
    if load is not None and load.is_open:
        return OPEN_LOOP_HEADLINE
    return BENCHMARKS[benchmark].headline
