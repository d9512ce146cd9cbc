"""Warmth: is the number of a server that is warm, but no warmer than designed?"""

from __future__ import annotations

import itertools
import math
import statistics

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured
from benchbook.records.record import Reason
from benchbook.terms.asked import USUAL_SEATS

MAX_HIT_SHARE = 0.01  # of the prompt tokens looked up, where chance cannot be reckoned
BY_CHANCE = 0.001  # the probability that random prompts share more than is allowed for
SLOW_RATIO, SLOW_S = 5.0, 0.5
SLOW_ITERATION_RATIO, MAX_SHARE_OF_MEAN = 1.3, 0.05  # an iteration does the very work of the one before


def cache_warm(measured: Measured) -> Reason | None:
    """Suspect when the prefix cache answered for more prompts than random ones share with earlier ones by chance."""
    counters = measured.host.counters
    queries = counters.get("prefix_cache_queries") or 0.0
    hits = counters.get("prefix_cache_hits") or 0.0
    if not queries or not hits:
        return None
    if measured.asked.shares_prefix:
        return None  # what prompts have in common is found there by design
    share, why = _share_by_chance(measured)
    by_template = measured.conditions.sent.most_cached_tokens or 0  # which begins the prompts of a chat alike
    if hits <= share * queries + by_template:
        return None
    return reason(
        "cache_warm",
        f"{hits:,.0f} of {queries:,.0f} prompt tokens ({hits / queries:.1%}) came from the prefix cache{why}",
    )


def _share_by_chance(measured: Measured) -> tuple[float, str]:
    """Return the largest share of prompt tokens that chance puts into the cache, and the words for it.

    vLLM's random prompt is a run of consecutive ids of its vocabulary from a random start: one that starts as an
    earlier prompt did has all its tokens in common with it. So each prompt meets one of N earlier ones in N of V cases,
    whatever the seed.
    """
    vocabulary = (measured.host.config or {}).get("vocab_size")
    earlier, sent = measured.conditions.earlier_requests, int(measured.value("completed") or 0)
    if not isinstance(vocabulary, int) or vocabulary < 2 or earlier is None or not sent:
        return MAX_HIT_SHARE, ""
    known = (1 - (1 - 1 / vocabulary) ** (earlier + number) for number in range(sent))
    expected = math.fsum(known)
    return (
        min(1.0, _poisson_quantile(expected) / sent),
        f"; of random prompts, {earlier:,.0f} earlier ones and {vocabulary:,} words let {expected / sent:.1%} expect",
    )


def _poisson_quantile(mean: float) -> int:
    """Return the least count that a Poisson variable exceeds with a probability of at most BY_CHANCE."""
    above = 1.0
    for count in itertools.count():
        above -= math.exp(count * math.log(mean) - mean - math.lgamma(count + 1)) if mean else 1.0
        if above <= BY_CHANCE:
            return count
    raise AssertionError("the probabilities of a Poisson variable add up to 1")


def warmup_too_small(measured: Measured) -> Reason | None:
    """Suspect when warming up was left out, or never reached the concurrency measured."""
    needed = measured.cap if measured.is_of_requests and measured.cap else 1
    if measured.load is not None and measured.load.is_at_once:
        needed = min(needed, USUAL_SEATS)
    watched = {"warmup_prompts": measured.conditions.warmup_prompts}
    sent = {**measured.workload, **watched}.get(measured.row.warmup)
    if sent is None or sent >= min(needed, measured.asked.requests or needed):
        return None
    what = "iterations" if measured.is_of_iterations else "prompts"
    return reason("warmup_too_small", f"warmed up with {sent} {what}, at least {needed} were needed")


def compiled_while_measuring(measured: Measured) -> Reason | None:
    """Suspect when the log of server or engine tells of compiling or capturing while it was measured."""
    lines = measured.conditions.compile_lines or []
    if not lines:
        return None
    return reason("compiled_while_measuring", f"{len(lines)} lines of the log, the first: {lines[0][:200]}")


def first_requests_slow(measured: Measured) -> Reason | None:
    """Suspect when all of what came first had to wait for something, such as a kernel's compilation.

    In a start burst the fastest request waits for one step, at worst for a prefill of the whole wave; only what exceeds
    that is called slow. In latency mode it is a first iteration that makes the mean of all 5 % longer.
    """
    if measured.is_of_iterations:
        return _first_iteration_slow(list(measured.raw.get("latencies", [])))
    ttfts_s, wave = [answer.ttft_s for answer in measured.answers], measured.cap or 1
    first, later = ttfts_s[:wave], ttfts_s[wave:]
    if len(later) < 3:
        return None
    fastest_s, usual_s = min(first), statistics.median(later)
    if fastest_s <= max(SLOW_RATIO, wave) * usual_s or fastest_s - usual_s <= SLOW_S:
        return None
    return _slow("fastest TTFT of the first requests", fastest_s, usual_s)


def _first_iteration_slow(times_s: list[float]) -> Reason | None:
    if len(times_s) < 3:
        return None
    first_s, usual_s = times_s[0], statistics.median(times_s[1:])
    if first_s <= SLOW_ITERATION_RATIO * usual_s or first_s - usual_s <= MAX_SHARE_OF_MEAN * sum(times_s):
        return None
    return _slow("first iteration", first_s, usual_s)


def _slow(what: str, first_s: float, usual_s: float) -> Reason:
    return reason(
        "first_requests_slow",
        f"the {what} took {first_s * 1000:.0f} ms, the median of the later ones is {usual_s * 1000:.0f} ms",
    )


CHECKS: tuple[Check, ...] = (cache_warm, warmup_too_small, compiled_while_measuring, first_requests_slow)
