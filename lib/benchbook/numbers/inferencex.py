"""Results of InferenceX: a fork of vLLM's benchmark_serving.py whose latencies are in seconds and have no unit in their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from benchbook.numbers import vllm
from benchbook.numbers.figures import Figures, Told
from benchbook.numbers.statistics import LATENCIES


def is_result(told: Mapping[str, Any]) -> bool:
    """Return whether this is a result in seconds."""
    return "request_rate" in told and "model_id" in told and any(f"{kind}_ttft" in told for kind in ("mean", "median"))


def result(told: Told) -> Figures:
    """Return what one result tells."""
    latencies = {metric.key: told.number(metric.key.removesuffix("_ms"), 3) for metric in LATENCIES}
    found = vllm.serve(told)
    return replace(
        found,
        tool="InferenceX benchmark_serving",
        values=vllm.without_zeros({**found.values, **latencies}),
        engine=None,  # its results are of several
        client=None,
        notes=(*found.notes, "its latencies are in seconds"),
        raw=None,
    )
