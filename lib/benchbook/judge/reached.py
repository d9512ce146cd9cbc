"""How well one repeat knows its own latencies: what `precision` asked for, and what was reached.

The number of prompts was planned by an assumption: independent latencies of a log-normal spread. Neither is sure: one
step serves a whole batch, requests that wait in one queue wait alike. So after the repeat the interval is had from its own
latencies, by a bootstrap of blocks in the order of sending (Politis and Romano's circular one): what neighbours have in
common stays together. A block holds all that are in flight together, and there are eight blocks at least; the few that
there are widen the interval as Student's t does. Percentiles are numpy's, as in vLLM's own code.

A closed loop sends its first wave all at once. Every repeat has that burst, and once: it is drawn anew by itself, since
blocks that hold it twice, or not at all, would be of loads that nobody offers. How far the first waves of repeats lie
apart, one repeat cannot tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured
from benchbook.records.record import Reason
from benchbook.terms.metrics import BY_KEY

CONFIDENCE = 0.95
RESAMPLES = 500
LEAST_BLOCKS = 8
MISSED = 1.5  # times what was asked: of repeats whose latencies are as was assumed, 2 or 3 of 100 look so by chance
_LATENCIES = {
    "ttft": lambda answer: answer.ttft_s,
    "tpot": lambda answer: (answer.latency_s - answer.ttft_s) / (answer.tokens - 1) if answer.tokens > 1 else None,
    "e2el": lambda answer: answer.latency_s,
}


def half_widths(measured: Measured, keys: Iterable[str]) -> dict[str, float | None]:
    """Return the half-width of the 95 % interval of each metric, e.g. {"p99_ttft_ms": 0.12}, as a share of its value.

    None where too few requests have the latency for blocks, or the raw file does not tell of single requests.
    """
    found, in_flight = {}, max(1, math.ceil(measured.mean_in_flight))
    cap = measured.cap if measured.is_closed_loop else None
    wave = cap if cap and cap > 1 else 0
    for key in keys:
        metric = BY_KEY[key]
        first, later = (
            [value for answer in answers if (value := _LATENCIES[metric.of](answer)) is not None]
            for answers in (measured.answers[:wave], measured.answers[wave:])
        )
        found[key] = _half_width(first, later, metric.percentile, in_flight)
    return found


def precision_missed(measured: Measured) -> Reason | None:
    """Note that a latency is known clearly less well than was asked: 1.5 times as wide and more."""
    told, known = measured.conditions.precision, measured.conditions.precision.reached
    missed = [
        f"{key} is known to ±{100 * known[key]:.2g} %, asked was ±{100 * share:g} %"
        for key, share in told.asked.items()
        if known.get(key) is not None and known[key] > MISSED * share
    ]
    return reason("precision_missed", "; ".join(missed)) if missed else None


def _half_width(first: Sequence[float], later: Sequence[float], percentile: int | None, in_flight: int) -> float | None:
    import numpy  # late: the command line starts without it
    from scipy.special import stdtrit

    count = len(later)
    if count < 2 * LEAST_BLOCKS:
        return None
    length = min(max(in_flight, math.ceil(count ** (1 / 3))), count // LEAST_BLOCKS)
    draw, blocks = numpy.random.default_rng(0), math.ceil(count / length)
    ordered = numpy.asarray([*later, *later[:length]])  # the first come after the last again
    burst, inside = numpy.asarray(first, dtype=float), numpy.arange(length)

    def known(sample: Any) -> float:
        return float(numpy.mean(sample) if percentile is None else numpy.percentile(sample, percentile))

    def again() -> Any:
        rest = ordered[(draw.integers(0, count, blocks)[:, None] + inside).ravel()[:count]]
        return numpy.concatenate([draw.choice(burst, len(burst)), rest]) if first else rest

    drawn = [known(again()) for _ in range(RESAMPLES)]
    low, high = numpy.percentile(drawn, [50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)])
    few = stdtrit(blocks - 1, 0.5 + CONFIDENCE / 2) / stdtrit(math.inf, 0.5 + CONFIDENCE / 2)
    value = known(numpy.concatenate([burst, ordered[:count]]))
    return float((high - low) / 2 * few / value) if value > 0 else None


CHECKS: tuple[Check, ...] = (precision_missed,)
