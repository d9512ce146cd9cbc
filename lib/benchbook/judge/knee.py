"""Where a curve over load bends: a closed loop stops scaling, the server of an open loop falls behind.

A closed loop stops scaling where every further doubling of the requests in flight adds less than 10 % output throughput.

An open loop holds a rate where it answers as fast as it is asked. vLLM scales the gaps so that all requests arrive in
(number / rate) seconds, and the last one is then still on its way: a short measurement answers fewer a second than
arrive however fast the server is. So a rate counts as reached where 90 % of the requests were answered in the time of
their arrival and one latency more, that of the least rate tried. A server that is slower under load, but no slower at
the end than at the beginning, does not fall behind either. Where a queue grows, each request waits longer than the one
before: the last one waits twice the mean. So what comes after the last arrival must also be more than one and a half of
the rate's own mean latency.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

MIN_GAIN = 0.10  # per doubling of the requests in flight; below it, a curve has stopped scaling
MIN_REACHED = 0.90
MIN_DRAIN = 1.5  # of the mean latency; 1 in a steady state, 2 where all of the latency is a queue that grows
_MS_PER_S = 1000.0


def stops_scaling_at(means: Mapping[float, float]) -> float | None:
    """Return the concurrency from which on every doubling adds less than MIN_GAIN; None where it still rises.

    `means` holds output throughput by rising concurrency.
    """
    steps = list(itertools.pairwise(means))
    slow = [_gain_per_doubling(means, low, high) < MIN_GAIN for low, high in steps]
    for index, (low, _) in enumerate(steps):
        if all(slow[index:]):
            return low
    return None


def first_unreached(
    answered_rps: Mapping[float, float], completed: Mapping[float, float], e2els_ms: Mapping[float, float]
) -> float | None:
    """Return the least rate (req/s) at which the server falls behind; None where it keeps up with all.

    By rate, rising: what it answered a second, how many requests were completed, and their mean latency (ms). Where figures
    of others tell no latency or count, a rate is not reached of which less than MIN_REACHED was answered.
    """
    least_s = e2els_ms[min(e2els_ms)] / _MS_PER_S if e2els_ms else 0.0
    for rate, rate_answered_rps in answered_rps.items():
        if rate not in e2els_ms or rate not in completed:
            if rate_answered_rps < MIN_REACHED * rate:
                return rate
            continue
        arrival_s = completed[rate] / rate
        drain_s = completed[rate] / rate_answered_rps - arrival_s
        is_late = rate_answered_rps * (arrival_s + least_s) < MIN_REACHED * completed[rate]
        if is_late and drain_s > MIN_DRAIN * e2els_ms[rate] / _MS_PER_S:
            return rate
    return None


def _gain_per_doubling(means: Mapping[float, float], low: float, high: float) -> float:
    if means[low] <= 0:
        return math.inf
    return (means[high] / means[low]) ** (1 / math.log2(high / low)) - 1
