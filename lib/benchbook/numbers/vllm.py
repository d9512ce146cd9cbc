"""Results of `vllm bench serve`, `latency` and `throughput`: of the client in Python, old and new, and of the one in Rust."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from benchbook.hosts.vllm.clients import client_of
from benchbook.numbers.figures import COUNTS, Figures, Told, means
from benchbook.numbers.figures import Number as Figure
from benchbook.records.typed import OPEN, Number, Whole, refused
from benchbook.terms.benchmarks import LATENCY, SERVE, THROUGHPUT
from benchbook.terms.errors import StoreError
from benchbook.terms.metrics import BY_KEY, metrics_for

ENGINE = "vLLM"
# In benchmark_serving.py of 2024 E2EL was called latency; what both have stands first.
_OLD = {
    f"{statistic}_e2el_ms": f"{statistic}_latency_ms" for statistic in ("mean", "median", "std", "p90", "p95", "p99")
}
_OF_REQUESTS = (
    "start_times",
    "ttfts",
    "itls",
    "output_lens",
    "errors",
)  # without one of them nothing is told one by one


def is_serve(told: Mapping[str, Any]) -> bool:
    """Return whether this is a result of `bench serve`, or of what it came from."""
    is_timed = any(f"{how}_{what}_ms" in told for how in ("mean", "median") for what in ("ttft", "e2el"))
    return "request_rate" in told and "model_id" in told and is_timed


def serve(told: Told) -> Figures:
    """Return what a result of `vllm bench serve` tells."""
    values = {key: value for key, value in read_metrics(told, SERVE.name, _OLD).items() if value is not None}
    rate, is_unlimited = told.rate("request_rate")
    cap = told.positive("max_concurrency")
    notes = [AT_ONCE] if is_unlimited and cap is None else []
    if told.value("mean_e2el_ms") is None and values.get("mean_e2el_ms") is not None:
        notes.append("its latency is read as E2EL")
    if (most := told.count("max_concurrent_requests")) and cap and most > cap:
        notes.append(f"max_concurrent_requests, {most}, is counted in whole seconds and is not the concurrency, {cap}")
    asked = {"num_prompts": told.positive("num_prompts"), "max_concurrency": cap, "request_rate_rps": rate}
    if (burstiness := told.number("burstiness")) is not None and burstiness <= 0:
        raise told.refused("burstiness", burstiness, "must be above 0")
    if burstiness not in (None, 1):
        asked["burstiness"] = burstiness
    raw = _detailed(told)
    return Figures(
        told.where,
        "vllm bench serve",
        without_zeros(values),
        workload={**without_nulls(asked), **means(values)},
        model=told.text("model_id"),
        engine=ENGINE,
        client=client_of(told.content) if "date" in told.content else None,
        ended_utc=date_of(told),
        notes=tuple(notes),
        raw=raw,
    )


AT_ONCE = "all requests were sent at once, without a rate and a cap: TTFT is that of the queue"


UNTOLD = "batch size and lengths are not told: it is compared with nothing until the import is told them"


def is_latency(told: Mapping[str, Any]) -> bool:
    """Return whether this is a result of `bench latency`."""
    return "avg_latency" in told and "percentiles" in told


def latency(told: Told) -> Figures:
    """Return what a result of `vllm bench latency` tells, which is neither the batch nor its lengths."""
    times = told.value("latencies")
    if times is not None and not (isinstance(times, list) and all(isinstance(time, int | float) for time in times)):
        raise told.refused("latencies", times, "is no list of numbers")
    told.at("percentiles")
    return Figures(
        told.where,
        "vllm bench latency",
        without_zeros(read_metrics(told, LATENCY.name)),
        LATENCY.name,
        workload={"num_iters": len(times)} if times else {},
        model=told.text("model_id"),
        engine=ENGINE,
        notes=(UNTOLD,),
        raw={"latencies": times} if times else None,
    )


def is_throughput(told: Mapping[str, Any]) -> bool:
    """Return whether this is a result of `bench throughput`."""
    return "elapsed_time" in told and "num_requests" in told


def throughput(told: Told) -> Figures:
    """Return what a result of `vllm bench throughput` tells: its tokens a second are input and output together."""
    values = read_metrics(told, THROUGHPUT.name)
    told.count("num_requests"), told.count("total_num_tokens")
    return Figures(
        told.where,
        "vllm bench throughput",
        without_zeros(values),
        THROUGHPUT.name,
        workload=without_nulls({"num_prompts": told.positive("num_requests")}),
        model=told.text("model_id"),
        engine=ENGINE,
        notes=("its tokens a second are input and output together; how many are output is not told",),
    )


def read_metrics(told: Told, benchmark: str, old: Mapping[str, str] | None = None) -> dict[str, Figure | None]:
    """Return the metrics of `benchmark` that stand in a result under vLLM's own keys, or under an old name of them."""
    found: dict[str, Figure | None] = {}
    for metric in metrics_for(benchmark):
        if metric.source_key:
            path = "|".join(filter(None, (metric.source_key, (old or {}).get(metric.key))))
            found[metric.key] = told.count(path) if metric.key in COUNTS else told.number(path)
    return found


def without_zeros(values: Mapping[str, Figure | None]) -> dict[str, Figure | None]:
    """Return `values` with None for each latency of 0, which no latency is: there was no sample."""
    return {key: None if value == 0 and BY_KEY[key].zero_is_absent else value for key, value in values.items()}


def without_nulls(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are told."""
    return {key: value for key, value in settings.items() if value is not None}


def date_of(told: Told) -> str | None:
    """Return vLLM's date, '20260818-021333', as a time in UTC, which it is for who measured there; None without one."""
    text = told.text("date")
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y%m%d-%H%M%S").replace(tzinfo=timezone.utc).isoformat()
    except ValueError:
        return None  # --metadata date=… may have overwritten it


def started(ended_utc: str, duration_s: Figure | None) -> str:
    """Return when it was begun, as far as a duration tells."""
    return (datetime.fromisoformat(ended_utc) - timedelta(seconds=min(max(duration_s or 0, 0), 1e8))).isoformat()


class _Detailed(TypedDict, total=False):
    """What stands in a result with --save-detailed for each request, failed ones included."""

    __pydantic_config__ = OPEN
    start_times: list[Number]
    ttfts: list[Number]
    itls: list[list[Number]]
    latencies: list[Number]
    queue_times: list[Number]
    input_lens: list[Whole]
    output_lens: list[Whole]
    errors: list[str]


_DETAILED = TypeAdapter(_Detailed)


def _detailed(told: Told) -> dict[str, Any] | None:
    """Return the result itself where it tells of each request, as with --save-detailed; None where lists are emptied."""
    if not all(told.value(key) for key in _OF_REQUESTS):
        return None
    try:
        lists = _DETAILED.validate_python(dict(told.content))
        json.dumps(told.content, allow_nan=False)
    except ValidationError as error:
        raise StoreError(f"{told.where}: {refused(error)[0].text}") from error
    except ValueError as error:
        raise StoreError(f"{told.where} holds a number that is none: {error}") from error
    lengths = {key: len(lists[key]) for key in _Detailed.__annotations__ if lists.get(key)}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{number} {key}" for key, number in lengths.items())
        raise StoreError(f"{told.where} is not of one measurement: {found}")
    answers = zip(lists["output_lens"], lists["itls"], lists["errors"])
    emptied = any(tokens > 1 and not gaps and not error for tokens, gaps, error in answers)
    return None if emptied else dict(told.content)
