"""Metrics that vLLM does not write, from what it does: its lists of requests, and what the server's counters grew by.

Each is a function of a raw result, in which the growth of the counters stands under `counters`, by their neutral names.
None where the data are not there.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Raw = Mapping[str, Any]


def prefix_hit_pct(raw: Raw) -> float | None:
    """Return how much (%) of the prompt tokens that were looked up the prefix cache had."""
    return _ratio(raw, "prefix_cache_hits", "prefix_cache_queries", 100)


def cached_tokens(raw: Raw) -> int | None:
    """Return how many prompt tokens came from the prefix cache; None where none were looked up there."""
    counters = _counters(raw)
    found = counters.get("prefix_cache_hits") if counters.get("prefix_cache_queries") else None
    return None if found is None else round(found)


def mean_chunk_tok(raw: Raw) -> float | None:
    """Return the tokens of a streamed chunk, on average: above 1 where several come at once, as with guesses ahead."""
    answers = _answered(raw, "itls", "output_lens")
    chunks = sum(len(gaps) + 1 for gaps, tokens in answers if tokens)
    return sum(tokens for _, tokens in answers) / chunks if chunks else None


def mean_client_queue_ms(raw: Raw) -> float | None:
    """Return how long (ms) requests of an open loop waited in the client for a place below its cap."""
    waits_s = [wait_s for (wait_s,) in _answered(raw, "queue_times")]
    has_rate = raw.get("request_rate") not in (None, "inf") or raw.get("ramp_up_strategy") is not None
    is_capped = raw.get("max_concurrency") is not None
    return statistics.fmean(waits_s) * 1000 if waits_s and has_rate and is_capped else None


def mean_server_queue_ms(raw: Raw) -> float | None:
    """Return how long (ms) requests waited in the server before their first step, as it says of each, else by its counters."""
    return _mean_ms(raw, "server_queue_times") or _ratio(raw, "queue_s", "queued", 1000)


def mean_server_prefill_ms(raw: Raw) -> float | None:
    """Return how long (ms) a request's prompt took in the server, from its first step to its first token."""
    return _ratio(raw, "prefill_s", "prefilled", 1000)


def mean_server_decode_ms(raw: Raw) -> float | None:
    """Return how long (ms) the rest of an answer took in the server, from its first token to its last."""
    return _ratio(raw, "decode_s", "decoded", 1000)


def mean_server_ttft_ms(raw: Raw) -> float | None:
    """Return when (ms) the server had the first token, by its own clock, as it says of each request."""
    return _mean_ms(raw, "server_ttfts")


DERIVED: Mapping[str, Callable[[Raw], float | int | None]] = {
    function.__name__: function
    for function in (
        prefix_hit_pct,
        cached_tokens,
        mean_chunk_tok,
        mean_client_queue_ms,
        mean_server_queue_ms,
        mean_server_prefill_ms,
        mean_server_decode_ms,
        mean_server_ttft_ms,
    )
}


def _counters(raw: Raw) -> Mapping[str, float]:
    return raw.get("counters") or {}


def _ratio(raw: Raw, part: str, whole: str, scale: float) -> float | None:
    """Return what one counter grew by for each that another did, times `scale`; None where that did not grow."""
    found, of = _counters(raw).get(part), _counters(raw).get(whole)
    return scale * found / of if found is not None and of else None


def _mean_ms(raw: Raw, key: str) -> float | None:
    times_s = [time_s for (time_s,) in _answered(raw, key) if time_s is not None]
    return statistics.fmean(times_s) * 1000 if times_s else None


def _answered(raw: Raw, *keys: str) -> Sequence[tuple[Any, ...]]:
    """Return what lists of a raw result hold of each request that was answered; nothing where one of them is missing."""
    columns = [raw.get(key) for key in keys]
    if not all(isinstance(column, list) for column in columns):
        return []
    errors = raw.get("errors") or [""] * len(columns[0])
    return [tuple(values) for *values, error in zip(*columns, errors) if not error and _are_sound(values)]


def _are_sound(values: Sequence[Any]) -> bool:
    """Return whether no value is a number that is not finite: what a hostile server says is told elsewhere."""
    return all(not isinstance(value, float) or math.isfinite(value) for value in values)
