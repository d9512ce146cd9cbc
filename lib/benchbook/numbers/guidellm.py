"""Reports of GuideLLM: several benchmarks a file, whose words for the pace of tokens are not ours.

Its `inter_token_latency_ms` is our TPOT, and its `time_per_output_token_ms` is E2EL over all tokens, which is none of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from benchbook.numbers.figures import Figures, Told, length
from benchbook.numbers.statistics import latencies
from benchbook.numbers.vllm import without_nulls, without_zeros

_OK = "successful"
_KINDS = {
    "ttft": f"metrics.time_to_first_token_ms.{_OK}",
    "tpot": f"metrics.inter_token_latency_ms.{_OK}",
    "e2el": f"metrics.request_latency.{_OK}",
}
_POWERS = {"ttft": 0, "tpot": 0, "e2el": 3}  # request_latency is in seconds
_STATISTICS = {"mean": "mean", "median": "median", "std": "std_dev"} | {
    p: f"percentiles.{p}" for p in ("p90", "p95", "p99")
}
_RATES = {
    "request_throughput_rps": f"metrics.requests_per_second.{_OK}.mean",
    "output_throughput_tok_s": f"metrics.output_tokens_per_second.{_OK}.mean",
    "total_throughput_tok_s": f"metrics.tokens_per_second.{_OK}.mean",
}
_COUNTS = {
    "completed": "metrics.request_totals.successful|scheduler_metrics.requests_made.successful|run_stats.requests_made.successful",
    "failed": "metrics.request_totals.errored|scheduler_metrics.requests_made.errored|run_stats.requests_made.errored",
    "total_input_tokens": f"metrics.prompt_token_count.{_OK}.total_sum",
    "total_output_tokens": f"metrics.output_token_count.{_OK}.total_sum",
}
_STRATEGY = "config.strategy|args.strategy|scheduler.strategy"
_CLOSED = {"concurrent": "streams", "synchronous": ""}  # strategies whose answers let the next request go
NOTE = "its inter_token_latency is read as TPOT; its time_per_output_token is E2EL over all tokens and is none of ours"


def is_report(told: Mapping[str, Any]) -> bool:
    """Return whether this is a report of GuideLLM."""
    benchmarks = told.get("benchmarks")
    return isinstance(benchmarks, list) and any(isinstance(one, dict) and "metrics" in one for one in benchmarks)


def report(told: Told) -> list[Figures]:
    """Return what each benchmark of a report tells."""
    found = told.value("benchmarks")
    for number, one in enumerate(found, start=1):
        if not isinstance(one, dict):
            raise told.refused(f"benchmarks[{number - 1}]", one, "is no object")
    model = told.text("config.spec.backend.model|args.model")
    version = told.text("metadata.guidellm_version")
    return [
        _benchmark(Told(one, f"{told.where}, benchmark {number}"), model, version)
        for number, one in enumerate(found, 1)
    ]


def _benchmark(told: Told, model: str | None, version: str | None) -> Figures:
    strategy = told.at(_STRATEGY)
    kind, streams = strategy.text("type_") or "", strategy.positive("streams|max_concurrency")
    rate, _ = strategy.rate("rate|target_rate|initial_rate")
    asked = {"num_prompts": told.positive("scheduler_state.created_requests|metrics.request_totals.total")}
    if kind in _CLOSED:
        asked["max_concurrency"] = streams if _CLOSED[kind] else 1
    else:
        asked["request_rate_rps"] = rate
    values = {
        **latencies(told, _KINDS, _STATISTICS, _POWERS),
        **{key: told.number(path) for key, path in _RATES.items()},
        **{key: told.count(path) for key, path in _COUNTS.items()},
        "duration_s": told.number("duration|run_stats.duration"),
    }
    lengths = {
        "mean_input_tokens": told.number(f"metrics.prompt_token_count.{_OK}.mean"),
        "mean_output_tokens": told.number(f"metrics.output_token_count.{_OK}.mean"),
    }
    ended_s = told.number("end_time|run_stats.end_time")
    return Figures(
        told.where,
        f"GuideLLM {version}" if version else "GuideLLM",
        without_zeros(values),
        workload=without_nulls({**asked, **{key: length(value) for key, value in lengths.items()}}),
        model=told.text("config.backend.model") or model,
        ended_utc=datetime.fromtimestamp(ended_s, timezone.utc).isoformat() if ended_s and 0 < ended_s < 1e11 else None,
        notes=(NOTE,),
    )
