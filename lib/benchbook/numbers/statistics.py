"""Statistics of latencies as others nest them, {"request_latency": {"mean": …, "p99": …}}, read by a table of names."""

from __future__ import annotations

from collections.abc import Mapping

from benchbook.numbers.figures import Number, Told
from benchbook.terms.metrics import METRICS

LATENCIES = [metric for metric in METRICS if metric.of]  # of single requests, each a kind and a statistic of it


def latencies(
    told: Told, kinds: Mapping[str, str], statistics: Mapping[str, str], powers: Mapping[str, int]
) -> dict[str, Number | None]:
    """Return our latency metrics (ms) from a file that tells them as `statistics` of `kinds`.

    `kinds` has their path by our 'ttft', 'tpot', 'itl', 'e2el', `powers` the power of ten that makes milliseconds of it,
    and `statistics` the key by our 'mean', 'median', 'std', 'p99'.
    """
    return {
        metric.key: told.number(f"{kinds[metric.of]}.{statistics[metric.statistic]}", powers[metric.of])
        for metric in LATENCIES
        if metric.of in kinds and metric.statistic in statistics
    }
