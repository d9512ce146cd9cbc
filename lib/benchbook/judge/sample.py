"""Sample: do the percentiles of a record rest on enough samples?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured
from benchbook.records.record import Reason
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.percentiles import PERCENTILES, is_earned, percentile_ranks, samples_needed
from benchbook.terms.wording import ordinal


def percentile_not_earned(measured: Measured) -> Reason | None:
    """Note that the highest percentile shown rests on too few samples, and which one is earned."""
    count = sample_count(measured.benchmark, measured.values, measured.workload)
    if not count or is_earned(count, PERCENTILES[0]):
        return None
    highest = PERCENTILES[0]
    low, high = percentile_ranks(count, highest)
    upper = f"the {ordinal(count - high + 1)} slowest" if high else "beyond the slowest"
    earned = [p for p in PERCENTILES if is_earned(count, p)]
    rest = f"p{earned[0]} is earned" if earned else "none above the median is earned"
    return reason(
        "percentile_not_earned",
        f"p{highest} of {count} samples lies between the {ordinal(count - low + 1)} slowest and {upper} (95 %); "
        f"{samples_needed(highest)} would earn it; {rest}",
    )


def sample_count(benchmark: str, values: Mapping[str, Any], workload: Mapping[str, Any]) -> int:
    """Return how many samples the percentiles of a record rest on, 0 for a benchmark that has none."""
    key = BENCHMARKS[benchmark].samples
    return int(values.get(key) or workload.get(key) or 0)


CHECKS: tuple[Check, ...] = (percentile_not_earned,)
