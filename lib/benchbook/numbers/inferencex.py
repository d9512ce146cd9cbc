"""Results of InferenceX: of a fork of vLLM's benchmark_serving.py, and as its pages have them, with what is told per GPU.

Their latencies are in seconds and have no unit in their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchbook.numbers import vllm
from benchbook.numbers.figures import Figures, Number, Told
from benchbook.numbers.statistics import LATENCIES


def is_result(told: Mapping[str, Any]) -> bool:
    """Return whether this is a result in seconds."""
    return "request_rate" in told and "model_id" in told and any(f"{kind}_ttft" in told for kind in ("mean", "median"))


def result(told: Told) -> Figures:
    """Return what one result tells."""
    latencies, found = _latencies(told), vllm.serve(told)
    return replace(
        found,
        tool="InferenceX benchmark_serving",
        values=vllm.without_zeros({**found.values, **latencies}),
        engine=None,  # its results are of several
        client=None,
        notes=(*found.notes, "its latencies are in seconds"),
        raw=None,
    )


def is_page_row(told: Mapping[str, Any]) -> bool:
    """Return whether this is a result as InferenceX's pages take it, an `agg_…json`."""
    return "tput_per_gpu" in told and "conc" in told


def page_row(told: Told) -> Figures:
    """Return what such a result tells: latencies; its throughput is per GPU, which is none of ours, and has no counts."""
    asked = {"max_concurrency": told.positive("conc"), "mean_input_tokens": told.positive("isl")}
    asked["mean_output_tokens"] = told.positive("osl")
    framework = told.text("framework")
    told.number("tput_per_gpu"), told.number("output_tput_per_gpu")
    settings = {name: told.value(name) for name in ("hw", "tp", "pp", "ep", "dp_attention", "precision", "image")}
    args = {name: value for name, value in settings.items() if isinstance(value, bool | int | float | str)}
    return Figures(
        told.where,
        "InferenceX",
        vllm.without_zeros(_latencies(told)),
        workload=vllm.without_nulls(asked),
        args=args,
        model=told.text("model"),
        engine={"vllm": "vLLM", "sglang": "SGLang"}.get((framework or "").lower(), framework),
        notes=("its latencies are in seconds", "its throughput is told per GPU and is not read"),
        launch=",".join(f"{name}={args[name]}" for name in ("hw", "precision", "tp", "ep") if name in args),
    )


def _latencies(told: Told) -> dict[str, Number | None]:
    return {metric.key: told.number(metric.key.removesuffix("_ms"), 3) for metric in LATENCIES}
