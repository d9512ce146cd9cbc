"""Figures alone: do the numbers that somebody tells agree with each other? A raw file is looked at request by request."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured
from benchbook.records.record import Reason
from benchbook.terms.metrics import BY_KEY, Metric

SLACK = 0.10  # of products, since lengths may differ and means are no products of means
ROUNDING = 0.01  # of figures that stand in an order
RATE_ROUNDING_RPS = 0.005  # rates are told to two decimals
STANDARD_ERRORS = 3.0  # of arrivals, where the client does not scale them to the rate
_PARTS = [f"{statistic}_" for statistic in ("mean", "median", "p90", "p95", "p99")] + [""]  # '': of the one request


def figures_contradict(measured: Measured) -> Reason | None:
    """Invalid when figures without a raw file cannot all be true; the evidence names the first that contradict."""
    if measured.raw:
        return None
    found = next((said for look in _LOOKS for said in look(measured)), None)
    return reason("figures_contradict", found) if found else None


def _negative(measured: Measured) -> Iterator[str]:
    for key, metric in BY_KEY.items():
        if (measured.value(key) or 0) < 0:
            yield f"{_told(metric, measured)}: nothing takes less than no time, and no count is below 0"


def _percentiles(measured: Measured) -> Iterator[str]:
    """Yield two percentiles of one distribution of which the higher is the smaller."""
    ranked = [metric for metric in BY_KEY.values() if metric.percentile and measured.value(metric.key) is not None]
    for lower in ranked:
        for higher in ranked:
            is_one = (lower.of, lower.benchmarks) == (higher.of, higher.benchmarks)
            if is_one and lower.percentile < higher.percentile and _is_below(higher.key, lower.key, measured):
                yield f"{_told(higher, measured)} is below {_told(lower, measured)}"


def _parts(measured: Measured) -> Iterator[str]:
    """Yield a statistic of the whole latency that is below that of its first part."""
    for statistic in _PARTS:
        whole, part = f"{statistic}e2el_ms", f"{statistic}ttft_ms"
        if _is_below(whole, part, measured):
            yield f"{_told(BY_KEY[whole], measured)} is below {_told(BY_KEY[part], measured)}, which is a part of it"


def _counts(measured: Measured) -> Iterator[str]:
    asked, completed = measured.asked.requests, measured.value("completed")
    if asked and completed and completed + (measured.value("failed") or 0) > asked:
        yield f"{completed + (measured.value('failed') or 0):g} requests ended, and {asked:g} were sent"


def _offered(measured: Measured) -> Iterator[str]:
    """Yield an open loop that answered faster than it was asked, beyond what chance does to as many arrivals."""
    offered, answered = measured.rate_rps, measured.value("request_throughput_rps")
    sent = measured.asked.requests or measured.value("completed")
    if not offered or not answered or not sent:
        return
    by_chance = STANDARD_ERRORS * measured.arrival_spread
    if by_chance < 1 and answered > offered / (1 - by_chance) + RATE_ROUNDING_RPS:
        yield f"{answered:g} requests a second were answered, and {offered:g} were sent"


def _products(measured: Measured) -> Iterator[str]:
    """Yield a rate that is not what was counted over the duration, or not another rate times what each request has."""
    value = measured.value
    rate, duration_s, completed = value("request_throughput_rps"), value("duration_s"), value("completed")
    outputs, inputs = value("total_output_tokens"), value("total_input_tokens")
    each = outputs / completed if outputs and completed else measured.asked.output_tokens_each
    total = outputs + inputs if outputs and inputs else None
    for key, counted, per_s, by in (
        ("request_throughput_rps", completed, None, duration_s),
        ("output_throughput_tok_s", outputs, None, duration_s),
        ("total_throughput_tok_s", total, None, duration_s),
        ("output_throughput_tok_s", each, rate, None),
    ):
        told, factor = value(key), per_s or (1 / by if by and by > 0 else None)
        if not told or not counted or not factor:
            continue
        slack = SLACK + RATE_ROUNDING_RPS / (per_s or told)
        if abs(counted * factor - told) > slack * max(told, counted * factor):
            how = f"{per_s:g} req/s of {counted:g} tokens" if per_s else f"{counted:g} in {by:g} s"
            yield f"{how} make {counted * factor:.4g} a second, {_told(BY_KEY[key], measured)}"


_LOOKS: tuple[Callable[[Measured], Iterator[str]], ...] = (
    _negative,
    _percentiles,
    _parts,
    _counts,
    _offered,
    _products,
)


def _is_below(key: str, other: str, measured: Measured) -> bool:
    value, least = measured.value(key), measured.value(other)
    return value is not None and least is not None and value < least * (1 - ROUNDING)


def _told(metric: Metric, measured: Measured) -> str:
    return f"{metric.label} is {measured.value(metric.key):g} {metric.unit}".rstrip()


CHECKS: tuple[Check, ...] = (figures_contradict,)
