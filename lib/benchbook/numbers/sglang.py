"""Lines of SGLang's bench_serving: a run a line, E2EL under `e2e_latency`, and Infinity where there is no rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchbook.numbers.figures import Figures, Told, means
from benchbook.numbers.vllm import AT_ONCE, read_metrics, without_nulls, without_zeros
from benchbook.terms.benchmarks import SERVE
from benchbook.terms.metrics import METRICS

_KEYS = {metric.key: metric.key.replace("e2el", "e2e_latency") for metric in METRICS if metric.of == "e2el"} | {
    "total_output_tokens": "total_generated_tokens",  # of a fork
    "total_throughput_tok_s": "total_throughput",
}
_LENGTHS = ("random_input_len", "random_output_len")


def is_line(told: Mapping[str, Any]) -> bool:
    """Return whether this is a line of bench_serving."""
    return "request_rate" in told and any(f"{kind}_e2e_latency_ms" in told for kind in ("mean", "median"))


def line(told: Told) -> Figures:
    """Return what one line tells."""
    values = without_zeros(read_metrics(told, SERVE.name, _KEYS))
    rate, is_unlimited = told.rate("request_rate")
    cap = told.positive("max_concurrency")
    asked = {"num_prompts": told.positive("num_prompts"), "max_concurrency": cap, "request_rate_rps": rate}
    asked |= {"dataset": told.text("dataset_name")}
    notes = [AT_ONCE] if is_unlimited and cap is None else []
    if told.value("total_output_tokens") is None and values["total_output_tokens"] is not None:
        notes.append("total_generated_tokens are read as output tokens")
    each, curve = means(values), _drawn(told)
    if " to " in curve:
        found = " / ".join(f"{each[key]:g}" for key in each)
        notes.append(f"lengths were drawn, {curve}, and are {found} on average")
    return Figures(
        told.where,
        "SGLang bench_serving",
        values,
        workload={**without_nulls(asked), **each},
        model=told.text("server_info.model_path|model"),
        engine={"sglang": "SGLang", "vllm": "vLLM"}.get(str(told.value("backend"))),
        notes=tuple(notes),
        curve=curve or told.text("dataset_name") or "",
        repeats_of=told.where.partition(", line")[0],
    )


def _drawn(told: Told) -> str:
    """Return between what random lengths were drawn: from the range ratio's share of each length on; '' for other prompts."""
    share, most = told.number("random_range_ratio"), [told.count(key) for key in _LENGTHS]
    if told.value("dataset_name") != "random" or share is None or None in most:
        return ""
    said = (f"{length}" if share >= 1 else f"{int(share * length)} to {length}" for length in most)
    return "{} in / {} out".format(*said)
