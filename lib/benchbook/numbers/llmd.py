"""llm-d's benchmark report v0.2, read and written: statistics with their units, of one stage of one workload.

One that benchbook wrote holds the whole record besides, under `scenario.load.native.config.benchbook`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchbook.numbers.figures import MS_OF, Figures, Number, Told, length
from benchbook.numbers.statistics import latencies
from benchbook.numbers.vllm import without_nulls, without_zeros
from benchbook.records.fingerprint import digest
from benchbook.records.record import Record
from benchbook.terms.benchmarks import SERVE, THROUGHPUT

VERSION = "0.2"
OURS = "scenario.load.native.config.benchbook"
_AGGREGATE = "results.request_performance.aggregate"
_KINDS = {
    "ttft": "time_to_first_token",
    "tpot": "time_per_output_token",
    "itl": "inter_token_latency",
    "e2el": "request_latency",
}
_STATISTICS = {"mean": "mean", "median": "p50", "std": "stddev", "p90": "p90", "p95": "p95", "p99": "p99"}
_RATES = {
    "request_throughput_rps": ("request_rate", "queries/s"),
    "output_throughput_tok_s": ("output_token_rate", "tokens/s"),
    "total_throughput_tok_s": ("total_token_rate", "tokens/s"),
}
_LENGTHS = {"mean_input_tokens": "input_length", "mean_output_tokens": "output_length"}
WRITTEN = (SERVE.name, THROUGHPUT.name)  # for a batch's latency it has no place


def is_report(told: Mapping[str, Any]) -> bool:
    """Return whether this is a benchmark report of llm-d."""
    return str(told.get("version", "")).startswith(VERSION) and isinstance(told.get("results"), Mapping)


def report(told: Told) -> Figures:
    """Return what a report tells."""
    found, load = told.at(_AGGREGATE), told.at("scenario.load.standardized")
    kinds = {kind: name for kind, name in _KINDS.items() if found.value(f"latency.{name}") is not None}
    powers = {kind: _power(found, f"latency.{name}.units") for kind, name in kinds.items()}
    total, failed = found.count("requests.total"), found.count("requests.failures")
    rate, _ = load.rate("rate_qps")
    concurrency = load.value("concurrency")
    asked = {"num_prompts": total or None, "request_rate_rps": rate}
    asked["max_concurrency"] = None if concurrency == float("inf") else load.positive("concurrency")
    asked |= {key: length(found.number(f"requests.{name}.mean")) for key, name in _LENGTHS.items()}
    values = {
        **latencies(found, {kind: f"latency.{name}" for kind, name in kinds.items()}, _STATISTICS, powers),
        # The name of the request rate differs between revisions of 0.2.
        **{
            key: found.number(f"throughput.{name}.mean|throughput.{name[:-5]}s_rate.mean")
            for key, (name, _) in _RATES.items()
        },
        "completed": total - failed if total is not None and failed is not None else None,
        "failed": failed,
    }
    tool = load.text("tool")
    return Figures(
        told.where,
        f"llm-d benchmark report{f' of {tool}' if tool else ''}",
        without_zeros(values),
        workload=without_nulls(asked),
        model=_model(told),
    )


def _model(told: Told) -> str | None:
    """Return the model of the first part of the stack that names one."""
    stack = told.value("scenario.stack")
    parts = [Told(part, told.where) for part in stack if isinstance(part, Mapping)] if isinstance(stack, list) else []
    return next(filter(None, (part.text("standardized.model.name") for part in parts)), None)


def _power(told: Told, path: str) -> int:
    unit = told.text(path)
    if (unit or "").removesuffix("/token") not in MS_OF:
        raise told.refused(path, unit, "is no unit of time")
    return MS_OF[unit.removesuffix("/token")]


def written(record: Record) -> dict[str, Any]:
    """Return the report of one record, in which only what is known stands."""
    values, identity = record.values, record.identity
    statistics = {kind: _statistics(values, kind, name) for kind, name in _KINDS.items()}
    load = {
        "tool": "vllm-benchmark",
        "tool_version": record.provenance.packages.get("vllm", "unknown"),
        "source": "unknown",
    }
    load |= {
        "input_seq_len": _length(record.asked.input_tokens_each),
        "output_seq_len": _length(record.asked.output_tokens_each),
    }
    if record.load is not None:
        load |= {"rate_qps": record.load.rate_rps, "concurrency": record.load.most_in_flight}
    return {
        "version": VERSION,
        "run": {
            "uid": digest([identity.model_dump(), record.started_utc])[:32],
            "eid": digest([identity.experiment, identity.run_id])[:32],
            "time": {"start": record.started_utc, "end": record.ended_utc},
            "description": f"{identity.case_id}, repeat {identity.repeat}: {record.verdict.value}",
        },
        "scenario": {
            "load": {
                "metadata": {"cfg_id": digest(record.workload)},
                "standardized": without_nulls(load),
                "native": {"args": dict(record.workload), "config": {"benchbook": record.model_dump(mode="json")}},
            },
            "stack": [_engine(record)],
        },
        "results": _results(record, without_nulls(statistics)),
    }


def _results(record: Record, statistics: Mapping[str, Any]) -> dict[str, Any]:
    values = record.values
    rates = {
        name: {"units": unit, "mean": values[key]}
        for key, (name, unit) in _RATES.items()
        if values.get(key) is not None
    }
    counts = {"failures": values.get("failed")}
    if (completed := values.get("completed")) is not None:
        counts["total"] = completed + (values.get("failed") or 0)
    aggregate = {
        "requests": without_nulls(counts),
        "latency": {_KINDS[kind]: found for kind, found in statistics.items()},
        "throughput": rates,
    }
    return {"request_performance": {"aggregate": {name: part for name, part in aggregate.items() if part}}}


def _statistics(values: Mapping[str, Number | None], kind: str, name: str) -> dict[str, Any] | None:
    """Return one latency's statistics; None without a mean, which the report wants of each."""
    found = {theirs: values.get(f"{ours}_{kind}_ms") for ours, theirs in _STATISTICS.items()}
    unit = "ms/token" if name in ("time_per_output_token", "inter_token_latency") else "ms"
    return None if found["mean"] is None else {"units": unit, **without_nulls(found)}


def _length(mean: Number | None) -> dict[str, Any] | None:
    return None if mean is None else {"distribution": "other", "value": mean}


def _engine(record: Record) -> dict[str, Any]:
    host = record.host
    return {
        "metadata": {"label": record.identity.launch or "engine", "cfg_id": digest([list(host.argv), host.env])},
        "standardized": {
            "kind": "generic",
            "tool": host.engine or "unknown",
            "tool_version": host.version or "unknown",
            "model": {"name": host.model},
        },
        "native": {"args": {"argv": list(host.argv)}, "envars": dict(host.env)},
    }
