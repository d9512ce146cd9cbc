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
SKEWED, LATE_SHARE, MANY_TOKENS = 2.0, 0.9, 16
HELD, NEARLY_HELD = 0.90, 0.95  # of a rate; below the first it is overload
MEDIANS_APART = 2 / 3  # medians do not add up, but this far apart they seldom are
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


def figures_hint(measured: Measured) -> Reason | None:
    """Note what in figures without a raw file looks odd, without being a contradiction; all of it in one."""
    if measured.raw or not measured.is_of_requests:
        return None
    found = [said for look in _HINTS if (said := look(measured))]
    return reason("figures_hint", "; ".join(found)) if found else None


def _few_waited_long(measured: Measured) -> str | None:
    mean_ms, median_ms = measured.value("mean_ttft_ms"), measured.value("median_ttft_ms")
    if not mean_ms or not median_ms or mean_ms < SKEWED * median_ms:
        return None
    return f"mean TTFT is {mean_ms:.4g} ms and its median {median_ms:.4g} ms: a few waited long, as the first of a cold start do"


def _rate_nearly_held(measured: Measured) -> str | None:
    asked, answered = measured.conditions.sent.rate_rps or measured.rate_rps, measured.answered_rps
    if not asked or not answered or not HELD * asked <= answered <= NEARLY_HELD * asked:
        return None
    return f"{answered:.3g} requests a second were answered, {asked:.4g} asked for: a queue that grew, or the end of a short run"


def _first_token_late(measured: Measured) -> str | None:
    """Say so in a closed loop: in an open one a queue explains it, and is told by the rate."""
    each = measured.output_tokens_each or 0
    pairs = [[measured.value(f"{how}_{what}_ms") for what in ("ttft", "e2el")] for how in ("mean", "median")]
    told = next(((ttft, e2el) for ttft, e2el in pairs if ttft and e2el), None)
    if not measured.is_closed_loop or told is None or each < MANY_TOKENS or told[0] < LATE_SHARE * told[1]:
        return None
    return (
        f"TTFT is {told[0] / told[1]:.0%} of E2EL though {each - 1:,.0f} tokens follow: it was timed from the last part of the "
        "answer, or requests waited for a place in the server"
    )


def _medians_apart(measured: Measured) -> str | None:
    ttft_ms, e2el_ms = measured.value("median_ttft_ms"), measured.value("median_e2el_ms")
    each, pace_ms = measured.output_tokens_each, measured.value("median_tpot_ms") or measured.value("median_itl_ms")
    if not ttft_ms or not e2el_ms or not pace_ms or not each:
        return None
    total_ms = ttft_ms + pace_ms * (each - 1)
    if total_ms >= MEDIANS_APART * e2el_ms:
        return None
    return (
        f"median TTFT and {each - 1:,.0f} times the median gap make {total_ms:,.0f} ms, median E2EL is {e2el_ms:,.0f} ms: chunks "
        "of several tokens, or few gaps that are far longer than the others"
    )


_HINTS = (_few_waited_long, _rate_nearly_held, _first_token_late, _medians_apart)
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


CHECKS: tuple[Check, ...] = (figures_contradict, figures_hint)
