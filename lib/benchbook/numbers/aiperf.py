"""Exports of AIPerf: metrics by name, each with its unit; of its first versions by title.

Its 'inter token latency' is the mean of each request, our TPOT; its 'inter chunk latency' is our ITL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchbook.numbers.figures import MS_OF, Figures, Told, length
from benchbook.numbers.statistics import latencies
from benchbook.numbers.vllm import without_nulls, without_zeros

_NAMES = {
    "ttft": ("time_to_first_token", "Time to First Token"),
    "tpot": ("inter_token_latency", "Inter Token Latency"),
    "itl": ("inter_chunk_latency", "Inter Chunk Latency"),
    "e2el": ("request_latency", "Request Latency", "Time to Last Token"),
}
_STATISTICS = {"mean": "avg", "median": "p50", "std": "std", "p90": "p90", "p95": "p95", "p99": "p99"}
_RATES = {
    "request_throughput_rps": "request_throughput",
    "output_throughput_tok_s": "output_token_throughput",
    "total_throughput_tok_s": "total_token_throughput",
    "request_goodput_rps": "goodput",
}
_COUNTS = {
    "completed": "request_count.avg",
    "failed": "error_request_count.avg",
    "total_input_tokens": "total_isl.avg",
    "total_output_tokens": "total_osl.avg|total_output_tokens.avg",
}
_LOAD = "input_config.loadgen"


def is_export(told: Mapping[str, Any]) -> bool:
    """Return whether this is an export of AIPerf, by the name of a latency that has a unit and an average."""
    records = told.get("records") if isinstance(told.get("records"), Mapping) else told
    named = [records.get(name) for names in _NAMES.values() for name in names]
    return any(isinstance(one, Mapping) and {"unit", "avg"} <= one.keys() for one in named)


def export(told: Told) -> Figures:
    """Return what an export tells."""
    records = told.at("records") if told.value("records") is not None else told
    kinds = {kind: name for kind, names in _NAMES.items() for name in names[::-1] if records.value(name) is not None}
    powers = {kind: _power(records, name) for kind, name in kinds.items()}
    counts = {key: records.count(path) for key, path in _COUNTS.items()}
    if counts["completed"] is None and "e2el" in kinds:
        counts["completed"] = records.count(f"{kinds['e2el']}.count")
    rate, _ = told.rate(f"{_LOAD}.request_rate")
    cap = told.positive(f"{_LOAD}.concurrency")
    asked = {"num_prompts": told.positive(f"{_LOAD}.request_count"), "max_concurrency": cap, "request_rate_rps": rate}
    lengths = {
        "mean_input_tokens": records.number("input_sequence_length.avg"),
        "mean_output_tokens": records.number("output_sequence_length.avg"),
    }
    values = {
        **latencies(records, kinds, _STATISTICS, powers),
        **{key: records.number(f"{name}.avg") for key, name in _RATES.items()},
        **counts,
        "duration_s": _seconds(records, "benchmark_duration"),
    }
    names = told.value("input_config.endpoint.model_names|input_config.model_names")
    notes = ["its inter token latency is read as TPOT"]
    if cap is None and rate is None:
        notes.append("neither a concurrency nor a rate is told")
    version = told.text("aiperf_version")
    return Figures(
        told.where,
        f"AIPerf {version}" if version else "AIPerf",
        without_zeros(values),
        workload=without_nulls({**asked, **{key: length(value) for key, value in lengths.items()}}),
        model=names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None,
        notes=tuple(notes),
    )


def _power(records: Told, name: str) -> int:
    """Return the power of ten that makes milliseconds of a metric's unit; StoreError for a unit of no time."""
    unit = records.text(f"{name}.unit")
    if unit not in MS_OF:
        raise records.refused(f"{name}.unit", unit, f"is no unit of time (known: {', '.join(MS_OF)})")
    return MS_OF[unit]


def _seconds(records: Told, name: str) -> float | int | None:
    if records.value(name) is None:
        return None
    return records.number(f"{name}.avg", _power(records, name) - 3)
